"""The supervisor's signals: SIGTERM, SIGINT and SIGQUIT ask it to end, in order the first time, at once the second; SIGHUP asks
for a reload, SIGTTIN for a worker more, SIGTTOU for one less; no other one ends it.

Installed by the supervisor before anything else of it is started.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

from wspulse.supervisor.worker.stray_signals import PASSED_OVER, STRAY_SIGNALS, tell_stray

__all__ = ["ignore_signals", "install_signals", "remove_signals"]

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)

SCALE_SIGNALS = {signal.SIGTTIN: 1, signal.SIGTTOU: -1}


def install_signals(
    on_stop: Callable[[signal.Signals], None], on_hangup: Callable[[], None], on_scale: Callable[[int], None]
) -> None:
    """Call these in the running loop, for each signal of theirs; `on_scale` with how many workers more."""
    # Whoever started us may have had it ignored; then the kernel would wait for our children in our place.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, on_stop, number)
    loop.add_signal_handler(signal.SIGHUP, on_hangup)
    for number, more in SCALE_SIGNALS.items():
        loop.add_signal_handler(number, _scale, number, more, on_scale)
    for stray in STRAY_SIGNALS:
        loop.add_signal_handler(stray, tell_stray, stray)


def remove_signals() -> None:
    """Back to the defaults."""
    loop = asyncio.get_running_loop()
    for number in (*STOP_SIGNALS, signal.SIGHUP, *SCALE_SIGNALS, *STRAY_SIGNALS):
        loop.remove_signal_handler(number)


def ignore_signals() -> None:
    """For the rest of a process whose server has ended: what means no end does not change its exit code."""
    for number in PASSED_OVER - set(STOP_SIGNALS):
        signal.signal(number, signal.SIG_IGN)


def _scale(number: signal.Signals, more: int, on_scale: Callable[[int], None]) -> None:
    if _is_in_background():
        tell_stray(number)
    else:
        on_scale(more)


def _is_in_background() -> bool:
    """Whether there is a terminal, which others use: it sends these to all of a group of which one has wanted to read there, or
    to write, be it a program that the application has started."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) != os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
