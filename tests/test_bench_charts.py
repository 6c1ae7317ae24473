"""The bench's documents: what the charts and tables make of results."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest

import bench.report
import bench.support.summary
from bench.report import report
from bench.support.chart import bars
from bench.support.curves import rows_of
from bench.support.line_chart import lines
from bench.support.results import read_all
from bench.support.summary import summary

SVG = "{http://www.w3.org/2000/svg}"


def curves(*, log: bool, first: float = 0) -> dict[str, Any]:
    """A result of two panels and three curves, one of which ends early."""
    rows = [
        {"name": f"{series}, {at:,}", "series": series, "at": at, "figure": (at + 1) * factor, "p99": (at + 1) * 900.5}
        for series, factor in (("floor", 0.25), ("wspulse", 1), ("<picows>", 7))
        for at in (first, 10, 2_500, 20_000)
        if (series, at) != ("<picows>", 20_000)
    ]
    return {
        "name": "some_question",
        "question": "How much?",
        "unit": "µs",
        "rounds": 1,
        "rows": rows,
        "over": {"axis": "messages & more", "panels": {"figure": "p50, µs", "p99": "p99, µs"}, "log": log},
        "machine": {"cores": 2, "processor": "a processor", "kernel": "6", "python": "3.11"},
        "versions": {},
        "commit": "abcdef",
        "when": "today",
    }


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize("first", [0, 1])
def test_line_chart_has_every_point_inside_its_panel(log: bool, first: float) -> None:
    result = curves(log=log, first=first)
    panels = list(ElementTree.fromstring(lines(result)).iter(f"{SVG}g"))
    assert len(panels) == 2
    for panel in panels:
        grid = list(panel.iter(f"{SVG}line"))
        right, bottom = (max(float(line.attrib[key]) for line in grid) for key in ("x2", "y2"))
        points = [point for point in panel.iter(f"{SVG}path") if point.attrib["class"] == "point"]
        assert len(points) == len(result["rows"])
        for point in points:
            x, y = map(float, re.findall(r"-?[\d.]+", point.attrib["transform"]))
            assert 0 <= x <= right
            assert 0 <= y <= bottom


def test_line_chart_names_axes_with_units_and_every_curve_once() -> None:
    written = texts(lines(curves(log=True)))
    for text in ("floor", "wspulse", "<picows>", "p50, µs", "p99, µs"):
        assert written.count(text) == 1
    assert written.count("messages & more") == 2


def test_charts_are_legible_on_a_ground_of_their_own_in_both_schemes() -> None:
    result = curves(log=False)
    for svg in (lines(result), bars(result)):
        tree = ElementTree.fromstring(svg)
        assert next(tree.iter(f"{SVG}rect")).attrib["class"] == "ground"
        assert all(element.attrib["class"] == "ink" for element in tree.iter(f"{SVG}text"))
        assert "prefers-color-scheme:dark" in svg


def test_charts_of_the_committed_results_are_well_formed() -> None:
    for svg in bench.report.charts().values():
        ElementTree.fromstring(svg)


def test_place_that_few_rounds_reached_is_left_out_and_others_are_medians() -> None:
    reached = [{"at": 1_000, "figure": figure, "p99": 10 * figure} for figure in (3.0, 1.0, 2.0)]
    (row,) = rows_of("wspulse", [*reached, {"at": 2_000, "figure": 5.0, "p99": 6.0}], rounds=3)
    assert row == {
        "name": "wspulse, 1,000",
        "series": "wspulse",
        "at": 1_000,
        "figure": 2.0,
        "figures": [3.0, 1.0, 2.0],
        "p99": 20.0,
    }


def test_report_has_a_table_for_each_panel_with_a_gap_where_a_curve_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.report, "read_all", lambda: {"some_question": curves(log=True)})
    text = report()
    assert "| p50, µs | 0 | 10 | 2,500 | 20,000 |\n| --- | --: | --: | --: | --: |\n| floor | 0.25 | 2.75 |" in text
    assert "| p99, µs | 0 |" in text
    assert re.search(r"\| <picows> \| 7\.00 \| 77\.0 \| 17507 \|  \|", text)


def test_summary_has_a_column_for_each_peer_that_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    echo = dict(read_all()["echo"])
    echo["rows"] = [row for row in echo["rows"] if row["name"] not in ("aiohttp", "fastapi")]
    monkeypatch.setattr(bench.support.summary, "read_all", lambda: {"echo": echo})
    head = summary().splitlines()[0]
    assert "| picows | websockets |" in head
    assert "aiohttp" not in head
