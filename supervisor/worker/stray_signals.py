"""Signals that a process of a server does not end of, though it has no use for them: sent by mistake, or by a terminal to all
that run in it.

Installed by a worker's entry before the application is loaded, which may install handlers of its own over these; the supervisor
takes the same signals into its loop. What a worker's children are to do with them is the application's: a handler is gone in a
program that is started, and is taken back in the child of a fork. It never touches SIGTERM, what stops a process on
purpose (SIGSTOP, SIGTSTP), and the signals of faults.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from types import FrameType

from wspulse.actors.values.log_limit import LogLimit

__all__ = ["PASSED_OVER", "STRAY_SIGNALS", "TERMINAL_SIGNALS", "pass_over_signals", "tell_stray"]

TERMINAL_SIGNALS = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU})
"""A terminal sends them to every process in it: ^C, ^\\, its end, and to those that use it from the background. What they mean
for the server its supervisor decides."""

_FAULTS = frozenset({"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS"})
_OTHERS_MEANT = frozenset({"SIGTERM", "SIGKILL", "SIGSTOP", "SIGTSTP"})
_WITHOUT_EFFECT = frozenset({"SIGCHLD", "SIGCONT", "SIGURG", "SIGWINCH", "SIGINFO"})
_IGNORED_BY_PYTHON = frozenset({"SIGPIPE", "SIGXFSZ"})


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"


STRAY_SIGNALS = frozenset(
    number
    for number in map(int, signal.valid_signals())
    if number not in TERMINAL_SIGNALS
    and _name(number) not in _FAULTS | _OTHERS_MEANT | _WITHOUT_EFFECT | _IGNORED_BY_PYTHON
)
"""All others that would end or stop a process: SIGUSR1, SIGALRM, SIGPROF, SIGIO, SIGPWR, those for real time, …"""

PASSED_OVER = TERMINAL_SIGNALS | STRAY_SIGNALS

_limits: dict[int, LogLimit] = {}
"""By signal: one line a second of each."""

_logger = logging.getLogger("wspulse.supervisor")


def pass_over_signals() -> None:
    """What comes of PASSED_OVER from now on does nothing here; of those that no terminal sends, a line of the log tells."""
    for terminal in TERMINAL_SIGNALS:
        # Ignored, and no handler: a system call that uses the terminal from the background would be begun anew for ever.
        signal.signal(terminal, signal.SIG_IGN)
    for number in STRAY_SIGNALS:
        signal.signal(number, _tell)
        signal.siginterrupt(number, False)
    os.register_at_fork(after_in_child=_have_defaults)


def tell_stray(number: int) -> None:
    """Log that a signal was passed over."""
    suppressed = _limits.setdefault(number, LogLimit(burst=1)).admit(time.monotonic())
    if suppressed is not None:
        _logger.warning(
            "a signal that the server does not use was ignored", extra={"signal": _name(number), "more": suppressed}
        )


def _tell(number: int, _frame: FrameType | None) -> None:
    tell_stray(number)


def _have_defaults() -> None:
    for number in STRAY_SIGNALS:
        if signal.getsignal(number) is _tell:
            signal.signal(number, signal.SIG_DFL)
