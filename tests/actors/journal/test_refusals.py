"""`Journal` and requests that are refused: each is counted by its status, and a line where somebody should look."""

from __future__ import annotations

import logging

import pytest

from tests.actors.journal.test_journal import Stage, fields, told
from wspulse.actors.wire.answer import HTTPAnswer

HEAD = b"GET /chat?token=secret HTTP/1.1\r\nOrigin: https://evil.example"
ADDRESS = ("10.0.0.1", 5)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 408, 409, 426, 429, 431, 500, 503, 505])
def test_refusal_is_counted_by_its_status(status: int) -> None:
    stage = Stage()
    for _ in range(2):
        stage.journal.refused(HTTPAnswer(status, "no"), HEAD, ADDRESS)
    assert getattr(stage.metrics, f"refused_{status}") == 2
    assert stage.metrics.upgrades_refused == 2


def test_refusal_with_a_status_of_the_applications_own_is_counted_among_the_others() -> None:
    stage = Stage()
    stage.journal.refused(HTTPAnswer(418, "teapot"), HEAD, ADDRESS)
    assert (stage.metrics.refused_other, stage.metrics.upgrades_refused) == (1, 1)


@pytest.mark.parametrize("status", [403, 404, 409, 429, 503])
def test_refusal_that_is_the_operators_matter_is_a_warning_five_times_in_ten_seconds(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage()
    for _ in range(100):
        stage.journal.refused(HTTPAnswer(status, "no"), HEAD, ADDRESS, "ada")
    assert told(caplog) == [("WARNING", "a request was refused")] * 5
    line = fields(caplog.records[0])
    assert (line["status"], line["reason"], line["path"]) == (status, "no", "/chat")
    assert (line["remote_address"], line["connection_id"]) == ("10.0.0.1:5", "ada")
    assert ("origin" in line) == (status == 403)
    stage.now = 10.0
    stage.journal.refused(HTTPAnswer(status, "no"), HEAD, ADDRESS)
    assert fields(caplog.records[-1])["not_logged"] == 95


def test_refusals_of_one_status_hide_no_other(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    for _ in range(100):
        stage.journal.refused(HTTPAnswer(404, "no"), HEAD, ADDRESS)
    stage.journal.refused(HTTPAnswer(403, "no"), HEAD, ADDRESS)
    line = fields(caplog.records[-1])
    assert (line["status"], line["origin"]) == (403, "https://evil.example")


@pytest.mark.parametrize("status", [400, 401, 405, 408, 426, 431, 500, 505, 418])
def test_refusal_that_is_the_clients_matter_is_told_at_debug_alone(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    Stage().journal.refused(HTTPAnswer(status, "no"), HEAD, ADDRESS)
    assert told(caplog) == []
    caplog.set_level(logging.DEBUG)
    Stage().journal.refused(HTTPAnswer(status, "no"), HEAD, ADDRESS)
    assert told(caplog) == [("DEBUG", "a request was refused")]


def test_each_refusal_is_told_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    stage = Stage()
    for _ in range(20):
        stage.journal.refused(HTTPAnswer(404, "no"), HEAD, ADDRESS)
    assert (
        sorted(told(caplog)) == [("DEBUG", "a request was refused")] * 20 + [("WARNING", "a request was refused")] * 5
    )


def test_refusals_of_a_shard_that_ends_are_no_warnings(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    stage.journal.is_ending = True
    stage.journal.refused(HTTPAnswer(503, "server is shutting down"), HEAD, ADDRESS)
    assert told(caplog) == []
    assert stage.metrics.refused_503 == 1


def test_connection_on_which_nothing_came_is_counted_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    stage = Stage()
    stage.journal.refused(HTTPAnswer(408, "request timeout"), b"", ADDRESS)
    assert told(caplog) == []
    assert stage.metrics.refused_408 == 1


def test_what_a_client_made_up_is_shortened(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    head = b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\nOrigin: " + b"y" * 5000
    stage.journal.refused(HTTPAnswer(403, "z" * 4000), head, None)
    line = fields(caplog.records[0])
    assert [len(line[name]) for name in ("path", "origin", "reason")] == [201, 201, 201]
    assert line["remote_address"] is None
