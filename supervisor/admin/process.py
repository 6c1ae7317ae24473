"""`AdminProcess`: the started process of the admin address as the supervisor sees it.

Made by `AdminService` for each start. It calls back once, with the exit code, when the process has ended and was waited for. It
decides nothing.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable

from wspulse.supervisor.admin.main import main
from wspulse.supervisor.admin.spec import AdminSpec
from wspulse.supervisor.process.watching.end_watch import EndWatch
from wspulse.supervisor.worker.masked_start import start_masked

__all__ = ["AdminProcess"]

_spawn = multiprocessing.get_context("spawn")


class AdminProcess:
    """Runs from its construction. Raises OSError when no process can be started, or watched."""

    def __init__(self, spec: AdminSpec, on_exit: Callable[[int], None]) -> None:
        process = _spawn.Process(target=main, args=(spec,), name="wspulse admin", daemon=False)
        start_masked(process)
        assert process.pid is not None
        self.pid = process.pid
        self.started_at = time.monotonic()
        try:
            self._end_watch = EndWatch(process, on_exit)
        except BaseException:
            # Nobody would see its end, and another would be started beside it.
            process.kill()
            process.join()
            process.close()
            raise

    @property
    def is_running(self) -> bool:
        return self._end_watch.is_running

    def terminate(self) -> None:
        """SIGTERM; `on_exit` follows."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL; `on_exit` follows."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # Not waited for yet, so the pid is this process's and nobody else's.
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
