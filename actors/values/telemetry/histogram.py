"""`Histogram`, and `Histograms`: how long things took, as numbers of them in buckets.

A worker has one `Histograms` with its `Metrics`; whoever measures asks it once for what it observes with. Integers only, so that
what several workers have measured can be added.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from wspulse.actors.values.telemetry.contract import MEASUREMENTS
from wspulse.actors.values.telemetry.measurement import Kind

__all__ = ["SUM", "Histogram", "Histograms"]

SUM = "sum_us"
"""Beside the buckets, where a histogram is told."""

_BOUNDS = {row.name: row.bounds for row in MEASUREMENTS if row.kind is Kind.HISTOGRAM}


class Histogram:
    """Of times, in seconds. `counts` has a bucket for each bound, of what was at most that and over the one before, and one more
    for all else."""

    __slots__ = ("_bounds", "counts", "sum_us")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum_us = 0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self._bounds, seconds)] += 1
        self.sum_us += round(seconds * 1_000_000)

    def told(self) -> dict[str, int]:
        """The buckets by their numbers, without the empty ones, and the sum in microseconds."""
        return {SUM: self.sum_us, **{str(number): count for number, count in enumerate(self.counts) if count}}


class Histograms:
    """See the module."""

    __slots__ = ("_by_name",)

    def __init__(self) -> None:
        self._by_name: dict[str, dict[str, Histogram]] = {}

    def of(self, name: str, label: str = "") -> Histogram:
        """The one of a measurement, and of a value of its label. Raises KeyError for a name that the contract does not have."""
        bounds = _BOUNDS[name]
        return self._by_name.setdefault(name, {}).setdefault(label, Histogram(bounds))

    def told(self) -> dict[str, dict[str, dict[str, int]]]:
        """By name and label, those that anybody has asked for."""
        return {
            name: {label: histogram.told() for label, histogram in by_label.items()}
            for name, by_label in self._by_name.items()
        }
