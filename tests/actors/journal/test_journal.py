"""`Journal`: each kind of line has its limit, and everything is counted."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from wspulse.actors.journal.journal import Journal
from wspulse.actors.values.metrics import Metrics
from wspulse.actors.values.request import Request


class Stage:
    def __init__(self) -> None:
        self.now = 0.0
        self.metrics = Metrics()
        self.journal = Journal(logging.getLogger("wspulse"), self.metrics, lambda: self.now)


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.message) for record in caplog.records]


def fields(record: logging.LogRecord) -> dict[str, Any]:
    return vars(record)


def test_callbacks_that_raise_all_the_time_fill_no_log_and_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    for _ in range(1000):
        stage.journal.callback_raised("on_message", "ada", "tea", ValueError("x"))
    assert told(caplog) == [("ERROR", "callback raised")] * 5
    assert stage.metrics.callbacks_raised == 1000
    assert fields(caplog.records[0])["connection_id"] == "ada"
    stage.now = 10.0
    stage.journal.callback_raised("on_message", "ada", "tea", ValueError("x"))
    assert fields(caplog.records[-1])["not_logged"] == 995


def test_flood_of_one_callbacks_errors_hides_no_other_callback(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    for _ in range(100):
        stage.journal.callback_raised("on_message", "ada", "tea", ValueError("x"))
    stage.journal.callback_raised("on_disconnect", "ada", "tea", ValueError("y"))
    assert fields(caplog.records[-1])["callback"] == "on_disconnect"


def test_connect_that_raises_all_the_time_fills_no_log_and_shows_no_token(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    request = Request(b"GET /" + b"w" * 300 + b"?token=secret HTTP/1.1", ("::1", 5))
    for _ in range(1000):
        stage.journal.connect_raised(ValueError("x"), request)
    assert told(caplog) == [("ERROR", "connect or check_origin raised")] * 5
    line = fields(caplog.records[0])
    assert line["path"] == "/" + "w" * 199 + "…"
    assert line["remote_address"] == "[::1]:5"
    stage.now = 10.0
    stage.journal.connect_raised(ValueError("x"), Request(b"GET /ws HTTP/1.1", None))
    line = fields(caplog.records[-1])
    assert (line["not_logged"], line["path"], line["remote_address"]) == (995, "/ws", None)


def test_peers_that_take_nothing_are_counted_and_told_by_kind(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    for _ in range(100):
        stage.journal.peer_cut("closing", "")
    stage.journal.peer_cut("stalled", "ada")
    stage.journal.peer_cut("silent", "bob")
    metrics = stage.metrics
    assert (metrics.peers_reset, metrics.peers_stalled, metrics.peers_silent) == (100, 1, 1)
    assert told(caplog) == [("WARNING", "a peer was cut off")] * 7
    assert [(line["reason"], line["connection_id"]) for line in map(fields, caplog.records[5:])] == [
        ("stalled", "ada"),
        ("silent", "bob"),
    ]
    assert "connection_id" not in fields(caplog.records[0]), "its session has let it go"
