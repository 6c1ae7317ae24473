"""The supervisor's signals: SIGTERM, SIGINT and SIGQUIT ask it to end, in order the first time, at once the second; SIGHUP asks
for a reload; no other one ends it.

Installed by the supervisor before anything else of it is started.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from wspulse.supervisor.worker.stray_signals import PASSED_OVER, STRAY_SIGNALS, tell_stray

__all__ = ["ignore_signals", "install_signals", "remove_signals"]

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)

STRAY = (*STRAY_SIGNALS, signal.SIGTTIN, signal.SIGTTOU)


def install_signals(on_stop: Callable[[signal.Signals], None], on_hangup: Callable[[], None]) -> None:
    """Call `on_stop` and `on_hangup` in the running loop, for each signal of theirs."""
    # Whoever started us may have had it ignored; then the kernel would wait for our children in our place.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, on_stop, number)
    loop.add_signal_handler(signal.SIGHUP, on_hangup)
    for stray in STRAY:
        loop.add_signal_handler(stray, tell_stray, stray)


def remove_signals() -> None:
    """Back to the defaults."""
    loop = asyncio.get_running_loop()
    for number in (*STOP_SIGNALS, signal.SIGHUP, *STRAY):
        loop.remove_signal_handler(number)


def ignore_signals() -> None:
    """For the rest of a process whose server has ended: what means no end does not change its exit code."""
    for number in PASSED_OVER - set(STOP_SIGNALS):
        signal.signal(number, signal.SIG_IGN)
