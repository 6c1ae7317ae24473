"""`/metrics`: what the control operation `metrics` answers, as text for Prometheus.

`Exposition` is what prometheus-client collects from; the application asks for its text. It counts nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from wspulse.supervisor.protocol.types import MeasurementInfo

__all__ = ["expose"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def expose(measurements: Sequence[MeasurementInfo], accept: str) -> tuple[bytes, str]:
    """The text, and its content type: that of OpenMetrics where the client asks for it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Measurements(measurements))
    # prometheus-client's own choice raises TypeError at a version that is not a number, which anybody may ask for.
    if any(each.partition(";")[0].strip() == "application/openmetrics-text" for each in accept.split(",")):
        text: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
        return text, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(registry), CONTENT_TYPE


class _Measurements(Collector):
    def __init__(self, measurements: Sequence[MeasurementInfo]) -> None:
        self._measurements = measurements

    def collect(self) -> Iterable[Metric]:
        return map(_family, self._measurements)


def _family(measurement: MeasurementInfo) -> Metric:
    name = measurement.name.removesuffix("_total") if measurement.kind == "counter" else measurement.name
    # OpenMetrics has a unit only where the name ends in it.
    unit = measurement.unit if measurement.unit and name.endswith(f"_{measurement.unit}") else ""
    family = Metric(name, measurement.help, measurement.kind, unit)
    for sample in measurement.samples:
        if measurement.kind == "histogram":
            for bound, count in sample.buckets:
                family.add_sample(f"{name}_bucket", {**sample.labels, "le": bound}, count)
            family.add_sample(f"{name}_count", sample.labels, sample.count or 0)
            family.add_sample(f"{name}_sum", sample.labels, sample.sum or 0.0)
        else:
            family.add_sample(measurement.name, sample.labels, sample.value or 0.0)
    return family
