"""The supervisor's signals: SIGTERM and SIGINT ask it to end, in order the first time, at once the second."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

__all__ = ["install_signals", "remove_signals"]

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def install_signals(on_stop: Callable[[signal.Signals], None]) -> None:
    """Call `on_stop` in the running loop for each SIGTERM and SIGINT."""
    # Whoever started us may have had it ignored; then the kernel would wait for our children in our place.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, on_stop, number)


def remove_signals() -> None:
    """Back to the defaults."""
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.remove_signal_handler(number)
