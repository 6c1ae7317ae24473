"""`Companion`: a process beside the workers, started again when it dies: a TLS terminator, or that of the admin address.

Made by the part of the server that it belongs to, which says how one is launched. It may die as often as it likes: whoever
needs it finds it again after the backoff, and no other process is touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Protocol

from wspulse.supervisor.process.restart.backoff import Backoff
from wspulse.supervisor.process.watching.end_watch import exit_sentence

__all__ = ["Companion", "Launched"]

KILLED_S = 5.0
"""A killed process that is still there after this is stuck in the kernel, and not ours to wait for."""

_logger = logging.getLogger("wspulse.supervisor")


def _unheard(_reason: str) -> None:
    """The log has it."""


class Launched(Protocol):
    """A process that was started."""

    @property
    def started_at(self) -> float: ...

    @property
    def is_running(self) -> bool: ...

    def terminate(self) -> None:
        """Have it end when it is done."""

    def kill(self) -> None: ...


class Companion:
    """See the module. `launch(on_exit)` starts a process, and raises OSError when it cannot; `name` is what the log calls it.
    `failed(reason)` is told each time that it could not be started, or died."""

    def __init__(
        self,
        name: str,
        launch: Callable[[Callable[[int], None]], Launched],
        failed: Callable[[str], None] = _unheard,
    ) -> None:
        self.name = name
        self._launch = launch
        self._failed = failed
        self._backoff = Backoff()
        self._process: Launched | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self._is_ending = False

    def start(self) -> None:
        """Start the process; where that fails, again in a moment."""
        self._timer = None
        self._ended.clear()
        try:
            self._process = self._launch(self._on_exit)
        except OSError as error:
            self._process = None
            self._ended.set()
            delay_s = self._wait(0.0)
            extra = {"companion": self.name, "reason": str(error), "restart_in_s": delay_s}
            _logger.warning("a companion process could not be started", extra=extra)
            self._failed(str(error))

    def end(self) -> None:
        """Have the process end when it is done, and start no other; returns at once."""
        self._is_ending = True
        if self._timer is not None:
            self._timer.cancel()
        if self._process is not None:
            self._process.terminate()

    async def stop(self, patience_s: float) -> None:
        """`end`, and wait so long; then kill it."""
        self.end()
        process = self._process
        if process is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._ended.wait()
        process.kill()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KILLED_S):
                await self._ended.wait()

    def _on_exit(self, code: int) -> None:
        process = self._process
        self._ended.set()
        if self._is_ending or process is None:
            return
        self._process = None
        delay_s, end = self._wait(time.monotonic() - process.started_at), exit_sentence(code)
        extra = {"companion": self.name, "end": end, "restart_in_s": delay_s}
        _logger.warning("a companion process died", extra=extra)
        self._failed(end)

    def _wait(self, ran_for_s: float) -> float:
        delay_s = self._backoff.failed(ran_for_s)
        self._timer = asyncio.get_running_loop().call_later(delay_s, self.start)
        return delay_s
