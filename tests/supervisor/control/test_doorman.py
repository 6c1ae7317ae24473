"""`Doorman`: how often it has the log say who does not get in."""

from __future__ import annotations

import logging

import pytest

from wspulse.supervisor.control import doorman
from wspulse.supervisor.control.doorman import Doorman


def test_clients_that_come_again_and_again_leave_a_line_a_minute_with_how_many_they_were(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 6000.0
    monkeypatch.setattr(doorman, "monotonic", lambda: now)
    at_the_door = Doorman()
    told = []
    for _ in range(240):
        with caplog.at_level(logging.WARNING, "wspulse.control"):
            caplog.clear()
            at_the_door.key_unknown("key", "127.0.0.1")
        told += [(now, record.__dict__["not_logged"]) for record in caplog.records]
        now += 1
    assert told == [(6000.0, 0), (6060.0, 59), (6120.0, 59), (6180.0, 59)]
    assert at_the_door.refused == 240
