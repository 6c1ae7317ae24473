"""The dashboard of `examples/` and the alerts of doc/howto/monitor.md ask for what a server measures, by labels that it has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from wspulse.actors.values.telemetry.contract import MEASUREMENTS
from wspulse.actors.values.telemetry.measurement import Kind

ROOT = Path(__file__).parents[2]

OF_THE_SCRAPE = {"job", "instance"}

MEASURED = {measurement.name: measurement for measurement in MEASUREMENTS}


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "examples" / "grafana.json").read_text())
    return found


def expressions() -> list[str]:
    panels = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]
    variables = [each["definition"] for each in dashboard()["templating"]["list"] if "definition" in each]
    return [*panels, *variables, *alerts()]


def alerts() -> list[str]:
    return re.findall(r"^ +expr: (.*)$", (ROOT / "doc" / "howto" / "monitor.md").read_text(), re.MULTILINE)


def problems(expression: str) -> list[str]:
    """What is wrong with an expression: names, labels, and kinds that do not go with what is made of them."""
    found = []
    known: set[str] = set()
    for text in re.findall(r"\bwspulse_[a-z0-9_]+", expression):
        name = re.sub("_bucket$", "", text)
        if name not in MEASURED:
            found.append(f"nothing measures {name}")
            continue
        measured = MEASURED[name]
        known |= {*measured.labels, *OF_THE_SCRAPE}
        if (measured.kind is Kind.HISTOGRAM) != text.endswith("_bucket"):
            found.append(f"{text}: it is a {measured.kind.value}")
        is_rated = re.search(rf"\b(rate|increase)\({text}\b", expression) is not None
        if is_rated == (measured.kind is Kind.GAUGE):
            found.append(f"{text}: a rate of a {measured.kind.value}" if is_rated else f"{text}: rate is missing")
        if measured.kind is Kind.HISTOGRAM:
            known |= {"le"}
    used = set(re.findall(r"([a-z_]+)=~?\"", expression))
    for names in re.findall(r"\bby \(([^)]*)\)", expression):
        used |= {name.strip() for name in names.split(",")}
    found += [f"label {name}" for name in sorted(used - known)]
    return found


def test_every_expression_asks_for_what_there_is() -> None:
    asked = [expression for expression in expressions() if "wspulse_" in expression]
    assert len(asked) > 30
    assert {expression: problems(expression) for expression in asked if problems(expression)} == {}


def test_dashboard_shows_whatever_a_contract_promises_to_count() -> None:
    text = " ".join(expressions())
    promised = """sessions rooms upgrades_total upgrade_seconds frames_received_total frames_sent_total bytes_received_total
        bytes_sent_total broadcasts_total frames_dropped_total disconnects_total resumes_total moves_total move_seconds
        pong_seconds handler_seconds loop_lag_seconds bus_lag_seconds bus_gaps_total worker_restarts_total limited_total
        build_info"""
    assert [name for name in promised.split() if not re.search(rf"\bwspulse_{name}(_bucket)?\b", text)] == []


def test_legends_name_labels_that_their_expressions_keep() -> None:
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                kept = re.search(r"\bby \(([^)]*)\)", target["expr"])
                assert kept is None or label in kept[1], panel["title"]


def test_panels_have_places_of_their_own() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


@pytest.mark.parametrize(
    "wrong",
    [
        "sum(rate(wspulse_frames_total[1m]))",
        "sum(wspulse_frames_received_total)",
        "sum(rate(wspulse_rooms[1m]))",
        "sum by (room) (wspulse_sessions)",
        'sum(wspulse_sessions{event="x"})',
        "rate(wspulse_move_seconds[1m])",
    ],
)
def test_wrong_expression_is_found(wrong: str) -> None:
    assert problems(wrong) != []
