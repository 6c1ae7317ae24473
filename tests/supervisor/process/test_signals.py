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
from wspulse.supervisor.process.signals import install_signals, remove_signals


@pytest.fixture(autouse=True)
def signals_as_they_were() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_each_signal_is_told_in_the_loop(number: signal.Signals) -> None:
    told: list[tuple[signal.Signals, bool]] = []
    install_signals(lambda number: told.append((number, asyncio.get_running_loop().is_running())))
    for count in (1, 2):
        os.kill(os.getpid(), number)
        await eventually(lambda: len(told) == count, "it was told")  # noqa: B023 - awaited here
    assert told == [(number, True)] * 2
    remove_signals()


async def test_ended_children_are_waited_for_by_us_even_where_that_was_switched_off() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    install_signals(lambda _number: None)
    assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
    ended = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", "raise SystemExit(7)"], check=False)
    assert ended.returncode == 7
    remove_signals()


async def test_removed_signals_have_their_default_again() -> None:
    install_signals(lambda _number: None)
    remove_signals()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
