"""How a companion's process ends."""

from __future__ import annotations

import logging

import pytest

from wspulse.supervisor.process.companions.entry import run_to_exit


def test_work_that_comes_to_its_end_exits_with_0(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None: ...

    with pytest.raises(SystemExit) as ended:
        run_to_exit(work(), logging.getLogger("wspulse.tls"))
    assert ended.value.code == 0
    assert not caplog.records


def test_work_that_fails_is_logged_by_its_own_logger_and_exits_with_1(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise ZeroDivisionError("of mine")

    with pytest.raises(SystemExit) as ended:
        run_to_exit(work(), logging.getLogger("wspulse.tls"))
    assert ended.value.code == 1
    (record,) = caplog.records
    assert (record.name, record.levelname, record.message) == ("wspulse.tls", "CRITICAL", "this process failed")
    assert "ZeroDivisionError: of mine" in caplog.text
