"""The README's table: the figures that count, from the results."""

from __future__ import annotations

from typing import Any

from bench.support.results import read_all
from bench.support.subjects import PEERS

__all__ = ["summary"]

_ROWS = (
    ("one message and its answer, 100 connections", "echo", "wspulse, sync handler", "µs"),
    ("the same with an async handler", "echo", "wspulse, async handler", "µs"),
    ("one delivery to a room of 1,000, 20 broadcasts a second", "paced_fanout", "wspulse", "µs"),
    ("one delivery to a room of 1,000, 16 broadcasts under way", "saturated_fanout", "wspulse", "µs"),
    ("one connection made", "upgrade", "wspulse, 1 worker", "µs"),
    ("one idle connection, resident", "idle_memory", "wspulse", "KB"),
)
"""What it is called, the question, our case, the unit."""


def summary() -> str:
    """CPU time of all server processes, in the same run and on the same machine as the peers'."""
    results = read_all()
    measured = {row["name"] for result in results.values() for row in result["rows"]}
    peers = [name for name in PEERS if name in measured]
    lines = [
        f"| what one worker costs | floor in C | wspulse | {' | '.join(peers)} |",
        f"| --- | --: | --: |{' --: |' * len(peers)}",
    ]
    for name, question, case, unit in _ROWS:
        if question in results:
            lines.append(_line(name, results[question], case, unit, peers))
    parts = ["\n".join(lines)]
    if "workers" in results:
        ratios = {row["name"]: row.get("ratio") for row in results["workers"]["rows"]}
        if ratios.get("4 workers"):
            parts.append(
                f"With the room spread over 4 workers, a delivery costs {ratios['4 workers']:.2f} times as much CPU in total, "
                "including the bus."
            )
    if "echo" in results:
        machine = results["echo"]["machine"]
        parts.append(
            f"User and system time, 100-byte JSON frames, loopback; {machine['processor']}, {machine['cores']} cores, "
            f"Python {machine['python']}. The floor makes\nthe system calls and does nothing else. `./scripts/bench` measures "
            "all of this again; `bench/REPORT.md` has the rest."
        )
    return "\n\n".join(parts)


def _line(name: str, result: dict[str, Any], case: str, unit: str, peers: list[str]) -> str:
    figures = {row["name"]: row["figure"] for row in result["rows"]}
    floor = next((row["figure"] for row in result["rows"] if row["name"].startswith("floor")), None)
    cells = [_figure(floor, unit), f"**{_figure(figures.get(case), unit)}**"]
    cells += [_figure(figures.get(peer), unit) for peer in peers]
    return f"| {name} | {' | '.join(cells)} |"


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value:.{2 if value < 1 else 1 if value < 100 else 0}f} {unit}"
