"""The supervisor's signals."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.eventually import eventually
from wspulse.supervisor.process.signals import SCALE_SIGNALS, ignore_signals, install_signals, remove_signals
from wspulse.supervisor.worker import stray_signals
from wspulse.supervisor.worker.stray_signals import STRAY_SIGNALS

STRAY = (*STRAY_SIGNALS, *SCALE_SIGNALS)

ALL = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD, *STRAY)


@pytest.fixture(autouse=True)
def signals_as_they_were(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(stray_signals, "_limits", {})
    before = [signal.getsignal(number) for number in ALL]
    yield
    for number, handler in zip(ALL, before, strict=True):
        signal.signal(number, handler)


class Told:
    """What the supervisor would be told; it fails out of the loop."""

    def __init__(self) -> None:
        self.stops: list[signal.Signals] = []
        self.hangups = 0
        self.scaled: list[int] = []
        install_signals(self.stop, self.hang_up, self.scaled.append)

    def stop(self, number: signal.Signals) -> None:
        assert asyncio.get_running_loop().is_running()
        self.stops.append(number)

    def hang_up(self) -> None:
        assert asyncio.get_running_loop().is_running()
        self.hangups += 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
async def test_each_signal_for_the_end_is_told_in_the_loop(number: signal.Signals) -> None:
    told = Told()
    for count in (1, 2):
        os.kill(os.getpid(), number)
        await eventually(lambda: len(told.stops) == count, "it was told")  # noqa: B023 - awaited here
    assert told.stops == [number] * 2
    assert told.hangups == 0
    remove_signals()


async def test_hangup_is_told_in_the_loop() -> None:
    told = Told()
    os.kill(os.getpid(), signal.SIGHUP)
    await eventually(lambda: told.hangups == 1, "it was told")
    assert told.stops == []
    remove_signals()


@pytest.mark.parametrize(("number", "more"), [(signal.SIGTTIN, 1), (signal.SIGTTOU, -1)])
async def test_signal_for_another_number_of_workers_is_told_in_the_loop(
    number: signal.Signals, more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wspulse.supervisor.process.signals._is_in_background", lambda: False)
    told = Told()
    os.kill(os.getpid(), number)
    await eventually(lambda: told.scaled == [more], "it was told")
    remove_signals()


@pytest.mark.parametrize("number", [signal.SIGTTIN, signal.SIGTTOU])
async def test_terminal_that_others_use_scales_nothing(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("wspulse.supervisor.process.signals._is_in_background", lambda: True)
    told = Told()
    os.kill(os.getpid(), number)
    await eventually(lambda: caplog.records, "it was logged")
    assert (told.scaled, caplog.records[0].__dict__["signal"]) == ([], number.name)
    remove_signals()


NAMES = [
    "SIGUSR1",
    "SIGUSR2",
    "SIGALRM",
    "SIGVTALRM",
    "SIGPROF",
    "SIGIO",
    "SIGPWR",
    "SIGSTKFLT",
    "SIGXCPU",
]


@pytest.mark.parametrize("name", [*NAMES, "SIGRTMIN", "SIGRTMAX", "SIGRTMIN+5"])
async def test_signal_without_a_meaning_is_named_in_a_line(name: str, caplog: pytest.LogCaptureFixture) -> None:
    if not hasattr(signal, name.partition("+")[0]):
        pytest.skip("the system has no such signal")
    told = Told()
    number = signal.SIGRTMIN + 5 if "+" in name else getattr(signal, name)
    os.kill(os.getpid(), number)
    await eventually(lambda: caplog.records, "it was logged")
    (record,) = caplog.records
    assert (record.levelname, record.message) == ("WARNING", "a signal that the server does not use was ignored")
    assert record.__dict__["signal"] == name
    assert (told.stops, told.hangups) == ([], 0)
    remove_signals()


async def test_signals_without_number_or_end_fill_no_log(caplog: pytest.LogCaptureFixture) -> None:
    Told()
    for _ in range(200):
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.sleep(0)
    assert len(caplog.records) <= 20
    remove_signals()


async def test_ended_children_are_waited_for_by_us_even_where_that_was_switched_off() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    Told()
    assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
    ended = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", "raise SystemExit(7)"], check=False)
    assert ended.returncode == 7
    remove_signals()


async def test_removed_signals_have_their_default_again() -> None:
    Told()
    remove_signals()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, *STRAY):
        assert signal.getsignal(number) is signal.SIG_DFL


def test_process_whose_server_has_ended_is_ended_by_those_that_ask_for_it_only() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)  # a shell that began this in the background has it ignore some
    ignore_signals()
    assert {signal.getsignal(number) for number in (signal.SIGHUP, *STRAY)} == {signal.SIG_IGN}
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    assert signal.getsignal(signal.SIGQUIT) is not signal.SIG_IGN
