"""`Telemetry`: the samples of every measurement in the contract, made of what workers answer and of what they have told.

Made by the operations. Counters and histograms are those of a worker's name: they go on when another process takes its place. A
worker that does not answer is there with what it told last, and has no gauges.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any

from wspulse.actors.mesh.message import GetMetrics
from wspulse.actors.values.telemetry.contract import CLUSTER_LOSSES, MEASUREMENTS
from wspulse.actors.values.telemetry.histogram import SUM
from wspulse.actors.values.telemetry.measurement import Kind, Measurement
from wspulse.supervisor.control.shard_links import ShardLinks
from wspulse.supervisor.control.statistics import STATS_TIMEOUT_S, Counted
from wspulse.supervisor.host.installed import installed_version
from wspulse.supervisor.host.memory import resident_bytes
from wspulse.supervisor.process.tally import Counts
from wspulse.supervisor.process.watching.silence import SILENT_S

__all__ = ["Telemetry"]

Sample = dict[str, Any]


class Telemetry:
    """See the module. `losses()` is how often broadcasts of other hosts were lost on the way here."""

    def __init__(self, supervised: Counted, links: ShardLinks, losses: Callable[[], int]) -> None:
        self._losses = losses
        self._supervised = supervised
        self._links = links

    async def told(self) -> list[dict[str, Any]]:
        """As the operation answers."""
        gauges = await self._ask()
        histories = sorted(self._supervised.histories().items())
        counted = {shard: history.tally.total for shard, history in histories}
        measured = {shard: history.histograms.total for shard, history in histories}
        return [
            {
                "name": measurement.name,
                "kind": measurement.kind.value,
                "help": measurement.meaning,
                "unit": measurement.unit,
                "samples": list(self._samples(measurement, gauges, counted, measured)),
            }
            for measurement in MEASUREMENTS
        ]

    async def _ask(self) -> Mapping[int, Counts]:
        """Have the tallies hear what has been counted since. Returns the gauges, by name: of both its workers, while sessions
        move from one to the other."""
        children = self._supervised.everybody()
        awake = [child.seat for child in children if child.silence_s < SILENT_S]
        incarnations = {seat: self._links.incarnation(seat) for seat in awake}
        answers = await self._links.ask_all(GetMetrics(), only=awake, timeout_s=STATS_TIMEOUT_S)
        gauges: defaultdict[int, Counter[str]] = defaultdict(Counter)
        for child in children:
            if child.pid is not None and (size := resident_bytes(child.pid)) is not None:
                gauges[child.shard]["rss_bytes"] += size
            answer = answers.get(child.seat)
            if isinstance(answer, dict):
                history = self._supervised.histories()[child.shard]
                history.heard(incarnations[child.seat], answer["counters"], answer["histograms"])
                for name, value in answer["gauges"].items():
                    gauges[child.shard][name] += value
        return dict(sorted(gauges.items()))

    def _samples(
        self,
        measurement: Measurement,
        gauges: Mapping[int, Counts],
        counted: Mapping[int, Counts],
        measured: Mapping[int, Counts],
    ) -> Iterator[Sample]:
        if not measurement.per_shard:
            yield from self._own_samples(measurement)
        elif measurement.kind is Kind.GAUGE:
            for shard, values in gauges.items():
                for source, label in measurement.sources.items():
                    if source in values:
                        yield _sample(measurement, label, values[source], shard)
        elif measurement.kind is Kind.HISTOGRAM:
            for shard, values in measured.items():
                for label, buckets in values.get(measurement.name, {}).items():
                    yield _distribution(measurement, label, buckets, shard)
        else:
            for shard, values in counted.items():
                for source, label in _sources(measurement, values):
                    yield _sample(measurement, label, values.get(source, 0), shard)

    def _own_samples(self, measurement: Measurement) -> Iterator[Sample]:
        """Of what no worker measures."""
        if not measurement.sources:
            yield _sample(measurement, installed_version("wspulse") or "unknown", 1)
            return
        counts = Counter({CLUSTER_LOSSES: self._losses()})
        for history in self._supervised.histories().values():
            counts += history.restarts_by_reason
        for source, label in measurement.sources.items():
            yield _sample(measurement, label, counts[source])


def _sources(measurement: Measurement, counted: Counts) -> Iterator[tuple[str, str]]:
    """Those that have a name in the contract, counted by now or not; and what was counted beside them."""
    yield from measurement.sources.items()
    for source, label in measurement.found_in(counted):
        if source not in measurement.sources:
            yield source, label


def _sample(measurement: Measurement, label: str, value: float, shard: int | None = None) -> Sample:
    return {"labels": _labels(measurement, label, shard), "value": value}


def _distribution(measurement: Measurement, label: str, told: Counts, shard: int) -> Sample:
    """Of a histogram, each of whose buckets has those of the smaller ones as well."""
    numbers = range(len(measurement.bounds) + 1)
    bounds = [*map(str, measurement.bounds), "+Inf"]
    cumulative = list(accumulate(told.get(str(number), 0) for number in numbers))
    return {
        "labels": _labels(measurement, label, shard),
        "buckets": list(zip(bounds, cumulative, strict=True)),
        "sum": told.get(SUM, 0) / 1_000_000,
        "count": cumulative[-1],
    }


def _labels(measurement: Measurement, label: str, shard: int | None) -> dict[str, str]:
    labels = {} if shard is None else {"shard": str(shard)}
    if measurement.label:
        labels[measurement.label] = label
    return labels
