"""The contract of telemetry, held against what is counted and emitted: neither has what the other has not."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from wspulse.actors.values.metrics import Metrics
from wspulse.actors.values.telemetry.contract import EVENTS, MEASUREMENTS, SUMS
from wspulse.actors.values.telemetry.measurement import Kind, Measurement

ROOT = Path(__file__).parents[4]
COUNTERS = Metrics().counted()

WANTED = {
    "wspulse_build_info": {"version"},
    "wspulse_sessions": {"shard", "state"},
    "wspulse_rooms": {"shard"},
    "wspulse_upgrades_total": {"shard", "result"},
    "wspulse_frames_received_total": {"shard"},
    "wspulse_frames_sent_total": {"shard"},
    "wspulse_upgrade_seconds": {"shard"},
    "wspulse_pong_seconds": {"shard"},
    "wspulse_handler_seconds": {"shard", "event"},
    "wspulse_bytes_received_total": {"shard"},
    "wspulse_bytes_sent_total": {"shard"},
    "wspulse_broadcasts_total": {"shard"},
    "wspulse_frames_dropped_total": {"shard", "reason"},
    "wspulse_disconnects_total": {"shard", "reason"},
    "wspulse_resumes_total": {"shard", "result"},
    "wspulse_moves_total": {"shard", "result"},
    "wspulse_move_seconds": {"shard"},
    "wspulse_loop_lag_seconds": {"shard"},
    "wspulse_bus_lag_seconds": {"shard"},
    "wspulse_bus_gaps_total": {"shard"},
    "wspulse_worker_restarts_total": {"reason"},
    "wspulse_limited_total": {"shard", "limit"},
}
"""Names and labels on which dashboards rely."""

every_measurement = pytest.mark.parametrize("measurement", MEASUREMENTS, ids=lambda row: row.name)


def trees() -> Iterator[ast.Module]:
    for path in (ROOT / "actors").rglob("*.py"):
        if path.parent.name != "telemetry":
            yield ast.parse(path.read_text())


def raised_names() -> set[str]:
    """The attributes to which something is added anywhere in a worker, and those that the journal has in a table or makes."""
    found, constants = set(), set()
    for tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Attribute):
                found.add(node.target.attr)
            elif isinstance(node, ast.Constant):
                constants.add(node.value)
    journal = (ROOT / "actors" / "journal" / "journal.py").read_text()
    found |= {name for name in COUNTERS if f'"{name}"' in journal}
    if 'f"refused_{status}"' in journal:
        found |= {name for name in COUNTERS if re.fullmatch(r"refused_\d+", name)}
    if 'f"ended_{ending or name_of_loss(error)}"' in journal:
        found |= {name for name in COUNTERS if name.startswith("ended_") and name.removeprefix("ended_") in constants}
    return found


def test_every_counter_of_a_worker_belongs_to_one_measurement() -> None:
    owners = Counter(name for row in MEASUREMENTS for name, _ in row.found_in(COUNTERS))
    assert {name: owners[name] for name in COUNTERS if owners[name] != 1} == dict.fromkeys(SUMS, 0)


@every_measurement
def test_source_of_a_measurement_is_counted(measurement: Measurement) -> None:
    if measurement.kind is Kind.COUNTER and measurement.per_shard:
        assert measurement.sources.keys() <= COUNTERS.keys()
        assert measurement.sources.keys() <= raised_names()


def test_every_histogram_of_the_contract_is_measured_somewhere() -> None:
    found = set()
    for tree in trees():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "of"
                and node.args
            ):
                found |= {each.value for each in ast.walk(node.args[0]) if isinstance(each, ast.Constant)}
    named = {name for name in found if isinstance(name, str) and name.startswith("wspulse_")}
    assert named == {row.name for row in MEASUREMENTS if row.kind is Kind.HISTOGRAM}


def test_names_and_labels_that_dashboards_rely_on_are_there() -> None:
    found = {row.name: set(row.labels) for row in MEASUREMENTS}
    assert {name: found.get(name) for name in WANTED} == WANTED
    assert len(found) == len(MEASUREMENTS), "a name is there twice"


@every_measurement
def test_name_of_a_measurement_says_its_kind_and_unit(measurement: Measurement) -> None:
    name = measurement.name
    assert re.fullmatch(r"wspulse_[a-z_]+[a-z]", name)
    assert name.endswith("_total") == (measurement.kind is Kind.COUNTER)
    assert measurement.unit in ("", "seconds", "bytes")
    assert measurement.unit in name
    assert not any(f"_{unit}" in name for unit in {"seconds", "bytes"} - {measurement.unit})


@every_measurement
def test_values_of_a_label_differ_and_bounds_ascend(measurement: Measurement) -> None:
    values = list(measurement.sources.values())
    assert len(set(values)) == len(values)
    assert all(values) == bool(measurement.label) or not values
    assert list(measurement.bounds) == sorted(set(measurement.bounds))
    assert bool(measurement.bounds) == (measurement.kind is Kind.HISTOGRAM)


def published_kinds() -> set[str]:
    """The events that are told anywhere, as their kinds stand in the code."""
    found = set()
    for tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                first = node.args[0]
                is_session_event = node.func.attr == "publish_event" or (
                    node.func.attr == "_add" and len(node.args) == 4
                )
                if is_session_event and isinstance(first, ast.Constant) and isinstance(first.value, str):
                    found.add(first.value)
    plane = (ROOT / "supervisor" / "control" / "plane.py").read_text()
    return found | {f"worker.{kind}" for kind in re.findall(r'self\._publish\("(\w+)"', plane)}


def test_events_that_are_told_are_those_of_the_contract_and_of_the_document() -> None:
    kinds = {event.kind for event in EVENTS}
    assert published_kinds() == kinds
    document = (
        (ROOT / "doc" / "reference" / "control.md").read_text().partition("## Events")[2].partition("## Bridge")[0]
    )
    assert {name.removesuffix(".<room>") for name in re.findall(r"`([a-z.]+(?:<room>)?)`", document)} >= kinds
