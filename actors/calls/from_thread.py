"""`FromThread`: the calls of a server for other threads than its loop's: each blocks until the loop has carried it out.

Made by `Calls` for whoever asks. It knows no session; it only brings a call to the loop and its outcome back.
"""

from __future__ import annotations

import asyncio
from _thread import get_ident
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from threading import Lock
from time import monotonic
from typing import Any, Protocol

from wspulse.actors.mesh.actor import ASK_TIMEOUT_S
from wspulse.actors.values.errors import ServerClosedError, ShardUnavailableError
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.text.ids import NOBODY

__all__ = ["AsyncCalls", "FromThread"]

_CARRIED_BACK_S = 1.0
"""How much longer than the call itself may take its outcome may be on its way."""

_LOOK_S = 0.1
"""How often a caller looks whether the loop has ended without having come to its call: a process that ends waits for it."""


class AsyncCalls(Protocol):
    """The calls, as the loop's own thread makes them."""

    async def send(self, connection_id: str, frame: Frame) -> None: ...

    async def broadcast(self, room_id: str, frame: Frame, exclude: Iterable[str] = ...) -> None: ...

    async def kick(self, connection_id: str, code: int = ..., reason: str = ...) -> None: ...


class FromThread:
    """`server.from_thread`: the calls for threads of a pool, of a framework or of your own.

    Each call blocks until the server has carried it out. It raises what the server's own method raises, and
    ShardUnavailableError if the server does not answer within 5 s; a call that has not begun by then never takes effect. In the
    server's own thread it raises RuntimeError, since it would wait for itself.
    """

    def __init__(self, calls: AsyncCalls, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        self._calls = calls
        self._loop = loop
        self._thread = thread

    def send(self, connection_id: str, frame: Frame) -> None:
        """`Server.send`."""
        self._carry_out(lambda: self._calls.send(connection_id, frame))

    def broadcast(self, room_id: str, frame: Frame, exclude: Iterable[str] = NOBODY) -> None:
        """`Server.broadcast`; those of one thread keep the order of its calls."""
        self._carry_out(lambda: self._calls.broadcast(room_id, frame, exclude))

    def kick(self, connection_id: str, code: int = 1000, reason: str = "kicked") -> None:
        """`Server.kick`."""
        self._carry_out(lambda: self._calls.kick(connection_id, code, reason))

    def _carry_out(self, call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if get_ident() == self._thread:
            raise RuntimeError(
                "wspulse: server.from_thread would block the server's own thread; `await` the server's own method here"
            )
        errand = _Errand(self._loop, call, monotonic() + ASK_TIMEOUT_S)
        try:
            self._loop.call_soon_threadsafe(errand.begin)
        except RuntimeError:
            raise ServerClosedError from None  # the loop has ended
        errand.wait()


class _Errand:
    """One call on its way to the loop and back."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, call: Callable[[], Coroutine[Any, Any, None]], deadline: float
    ) -> None:
        self._loop = loop
        self._call = call
        self._deadline = deadline
        self._outcome: Future[None] = Future()
        self._claim = Lock()
        """Held for good by whoever is first: the loop, which begins, or the caller, who has given up."""
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """In the loop. Nothing begins whose caller was told that it failed."""
        if self._claim.acquire(blocking=False):
            self._task = asyncio.get_running_loop().create_task(self._carry_out())

    async def _carry_out(self) -> None:
        try:
            async with asyncio.timeout(self._deadline - monotonic()):
                await self._call()
        except TimeoutError:
            self._outcome.set_exception(_late())
        except BaseException as error:
            self._outcome.set_exception(ServerClosedError() if isinstance(error, asyncio.CancelledError) else error)
            if not isinstance(error, Exception):
                raise
        else:
            self._outcome.set_result(None)

    def wait(self) -> None:
        """In the caller's thread. Raises what the call raised."""
        while (left_s := self._deadline - monotonic()) > 0:
            if self._came(min(left_s, _LOOK_S)):
                return
        # What has begun has the same deadline, and nothing else may begin any more.
        if self._claim.acquire(blocking=False) or not self._came(_CARRIED_BACK_S):
            raise _late()

    def _came(self, timeout_s: float) -> bool:
        """Whether it is done, within that time. Raises what the call raised."""
        try:
            self._outcome.result(timeout_s)
        except FutureTimeoutError:
            if self._loop.is_closed() and not self._outcome.done():
                raise ServerClosedError from None
            return False
        return True


def _late() -> ShardUnavailableError:
    return ShardUnavailableError(f"the server did not answer within {ASK_TIMEOUT_S:g} s")
