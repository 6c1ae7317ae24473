"""Measuring what depends on a quantity: a server's figures at several loads or sizes, as one curve of a line chart."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.support.results import save
from bench.support.rounds import Arguments, Over, progress
from bench.support.subjects import Subject

__all__ = ["Curve", "measure_curves", "rows_of"]

Point = dict[str, Any]


@dataclass
class Curve:
    """One server. `measure` starts it and yields points in order, each with `at`, `figure`, and what else is counted."""

    name: str
    subject: Subject
    measure: Callable[[Subject], Iterator[Point]]


def measure_curves(
    name: str, question: str, unit: str, over: Over, curves: Sequence[Curve], chosen: Arguments
) -> dict[str, Any]:
    """Measure all curves in turns, print and save the table. Returns what was saved."""
    curves = [curve for curve in curves if not chosen.only or curve.name in chosen.only]
    samples: dict[str, list[Point]] = {curve.name: [] for curve in curves}
    for number in range(chosen.rounds):
        for curve in curves:
            for point in curve.measure(curve.subject):
                progress(f"{name}: round {number + 1} of {chosen.rounds}, {curve.name} at {point['at']:,}")
                samples[curve.name].append(point)
    progress("")
    rows = [row for curve in curves for row in rows_of(curve.name, samples[curve.name], chosen.rounds)]
    for row in rows:
        print(f"{row['name']:44} {row['figure']:9.2f} {unit}")
    result = {"question": question.strip(), "unit": unit, "rounds": chosen.rounds, "over": asdict(over), "rows": rows}
    return save(name, result)


def rows_of(series: str, points: list[Point], rounds: int) -> list[dict[str, Any]]:
    """A row for each place on the axis that was reached in more than half of the rounds: the medians."""
    rows = []
    for at in sorted({point["at"] for point in points}):
        here = [point for point in points if point["at"] == at]
        if len(here) * 2 > rounds:
            row = {"name": f"{series}, {at:,}", "series": series, "figures": [point["figure"] for point in here]}
            rows.append(row | {key: statistics.median(point[key] for point in here) for key in here[0]})
    return rows
