"""The text for Prometheus: of every kind of measurement, in both formats, and held against a lint that finds what is wrong."""

from __future__ import annotations

import pytest

from tests.support.control.exposition_lint import lint, read
from wspulse.supervisor.admin.site.exposition import expose
from wspulse.supervisor.protocol.types import MeasurementInfo, SampleInfo

BUCKETS = (("0.001", 1), ("0.1", 3), ("+Inf", 4))

MEASUREMENTS = [
    MeasurementInfo(
        "wspulse_build_info", "gauge", "which", "", [SampleInfo(labels={"version": '1 "x" \\ \n'}, value=1.0)]
    ),
    MeasurementInfo(
        "wspulse_bytes_sent_total", "counter", "how much", "bytes", [SampleInfo(labels={"shard": "0"}, value=2.0**40)]
    ),
    MeasurementInfo("wspulse_memory_bytes", "gauge", "memory", "bytes", [SampleInfo(labels={"shard": "1"}, value=5)]),
    MeasurementInfo(
        "wspulse_upgrade_seconds",
        "histogram",
        "how long",
        "seconds",
        [SampleInfo(labels={"shard": "0"}, buckets=BUCKETS, sum=1.5, count=4)],
    ),
    MeasurementInfo("wspulse_limited_total", "counter", "no sample yet", "", []),
]


def test_text_has_every_measurement_by_its_name_and_passes_the_lint() -> None:
    body, content_type = expose(MEASUREMENTS, "")
    assert content_type.startswith("text/plain; version=0.0.4")
    text = body.decode()
    assert lint(text) == []
    kinds, helps, series = read(text)
    assert kinds == {measurement.name: measurement.kind for measurement in MEASUREMENTS}
    assert helps["wspulse_upgrade_seconds"] == "how long"
    shard = ("shard", "0")
    assert series["wspulse_bytes_sent_total", (shard,)] == 2.0**40
    assert series["wspulse_upgrade_seconds_bucket", (("le", "0.1"), shard)] == 3
    assert series["wspulse_upgrade_seconds_bucket", (("le", "+Inf"), shard)] == 4
    assert series["wspulse_upgrade_seconds_sum", (shard,)] == 1.5
    assert series["wspulse_upgrade_seconds_count", (shard,)] == 4
    assert 'version="1 \\"x\\" \\\\ \\n"' in text


def test_client_that_asks_for_openmetrics_gets_it() -> None:
    body, content_type = expose(MEASUREMENTS, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")
    assert b"# UNIT wspulse_upgrade_seconds seconds\n" in body
    assert b'wspulse_bytes_sent_total{shard="0"}' in body


@pytest.mark.parametrize("accept", ["*/*", "application/openmetrics-text;version=x", "text/plain;version=", ";;,", "é"])
def test_client_that_asks_for_anything_else_gets_text(accept: str) -> None:
    body, content_type = expose(MEASUREMENTS, accept)
    assert b"wspulse_bytes_sent_total" in body
    assert content_type.isascii()


RIGHT = """# HELP wspulse_a_total all
# TYPE wspulse_a_total counter
wspulse_a_total{shard="0"} 1
# HELP wspulse_b_seconds all
# TYPE wspulse_b_seconds histogram
wspulse_b_seconds_bucket{le="0.1"} 1
wspulse_b_seconds_bucket{le="+Inf"} 2
wspulse_b_seconds_sum 1
wspulse_b_seconds_count 2
"""


@pytest.mark.parametrize(
    ("right", "wrong", "found"),
    [
        ("# HELP wspulse_a_total all\n", "", "no help"),
        ("wspulse_a_total counter", "wspulse_a_total gauge", "a gauge by this name"),
        ("wspulse_a_total", "wspulse_a", "a counter by this name"),
        ("wspulse_a_total", "wspulse_a_ms_total", "base units"),
        ("wspulse_a_total", "pulse_a_total", "whose"),
        ("wspulse_b_seconds", "wspulse_b", "without a unit"),
        ('shard="0"', 'room="lobby"', "labels"),
        ('le="0.1"} 1', 'le="0.1"} 3', "not cumulative"),
        ('wspulse_b_seconds_bucket{le="+Inf"} 2\n', "", "no bucket for all"),
        ("wspulse_b_seconds_sum 1\n", "", "no sum"),
        ("seconds_count 2", "seconds_count 3", "the count"),
        ("histogram", "summary", "a summary"),
        ('{shard="0"} 1', '{shard="0"} -1', "-1"),
    ],
)
def test_lint_finds_what_is_wrong(right: str, wrong: str, found: str) -> None:
    assert lint(RIGHT) == []
    assert right in RIGHT
    assert any(found in problem for problem in lint(RIGHT.replace(right, wrong)))
