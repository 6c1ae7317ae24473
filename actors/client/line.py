"""`Line`: what a program holds of its line to a server, over as many connections as that takes.

Made by `connect`, and entered as a context. Two tasks belong to it: the carrier's, which dials and comes back, and that of the
handlers. Leaving the context ends both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Generic, TypeVar, overload

from msgspec import UNSET

from wspulse.actors.client.carrier import Carrier, State
from wspulse.actors.client.ending import Closed
from wspulse.actors.client.errors import SessionLostError
from wspulse.actors.client.handling.handlers import AnyHandler
from wspulse.actors.client.handling.unclaimed import FrameIterator
from wspulse.actors.client.outbox import OutboxFullError
from wspulse.actors.client.session import RESERVED
from wspulse.actors.values.close_code import check_close
from wspulse.actors.values.errors import ReplyError, SendBufferFullError
from wspulse.actors.values.frame import Frame

__all__ = ["Line", "Moment"]

T = TypeVar("T")
AnyFunction = TypeVar("AnyFunction", bound=AnyHandler)

CALL_S = 10.0

_PATIENCE_S = 3.0
"""For handlers of what came before the end, when the context is left."""

_HASTE_S = 1.0
"""For the farewell of a program that leaves with an exception."""


class Moment(Generic[T]):
    """What can be awaited, as often as one likes, or not at all."""

    def __init__(self, wait: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._wait = wait

    def __await__(self) -> Generator[Any, None, T]:
        return self._wait().__await__()


class Line:
    """A line to a server. Made by `connect`; `async with` begins and ends it, once.

    Everything belongs to the event loop in which it was entered. Handlers run one at a time, in the order of the frames; frames
    that have none are for `async for frame in line`.
    """

    def __init__(self, carrier: Carrier, url_text: str) -> None:
        self._carrier = carrier
        self._url_text = url_text
        self._carrying: asyncio.Task[None] | None = None
        self._handling: asyncio.Task[None] | None = None

    # What it is.

    @property
    def state(self) -> State:
        """ "connecting", "connected", "reconnecting" or "closed"."""
        return self._carrier.state

    @property
    def exact(self) -> bool:
        """Whether nothing is lost or doubled, since the server counts too (subprotocol `wspulse.1`). Known from the first
        connection on."""
        return self._carrier.session.is_exact

    @property
    def id(self) -> str:
        """The connection's id, where the session is exact; else ""."""
        return self._carrier.session.id

    @property
    def ready(self) -> Moment[None]:
        """`await line.ready`: wait until the line is connected. Raises LineClosedError if it ends instead. Without a timeout
        of your own this may take forever."""
        return Moment(self._wait_ready)

    @property
    def closed(self) -> Moment[Closed]:
        """`await line.closed`: wait until the line has ended for good; returns the code and the reason."""
        return Moment(self._wait_closed)

    # What comes.

    def on(self, event: str, type: Any = Any) -> Callable[[AnyFunction], AnyFunction]:  # noqa: A002
        """Add a handler, as a decorator: `@line.on("chat.message")`. "*" is for all events that have none.

        A handler is called with the payload, decoded to `type`, and the frame; it may take both, the payload alone or nothing,
        and may be async. What it returns, unless None, answers the frame where the server has asked (`connection.call`); what it
        raises is told to the handlers of `wspulse.error`, and answers such a frame with `<event>.error` (ReplyError: that alone).

        The line's own events are `wspulse.state`, `wspulse.lost`, `wspulse.refused` and `wspulse.error`.
        """

        def add(function: AnyFunction) -> AnyFunction:
            self._carrier.handlers.add(event, function, type)
            return function

        return add

    def off(self, event: str, handler: AnyHandler) -> None:
        """Remove a handler. Raises ValueError for one that is not there."""
        self._carrier.handlers.remove(event, handler)

    def __aiter__(self) -> FrameIterator:
        """The frames that have no handler, in order. It ends with the line, and raises LineClosedError where neither side had
        closed it with 1000."""
        return self._carrier.handling.unclaimed.iterate()

    # What goes.

    def send(self, event: str, payload: Any = UNSET, *, id: str = "") -> None:  # noqa: A002
        """Send a frame; while the line is away it waits. Frames arrive in the order of the calls.

        Raises LineClosedError, SendBufferFullError where as many frames as `buffer` allows are neither sent nor acknowledged,
        ValueError for an event of the protocol's own, and what the codec raises for a payload that it cannot encode (TypeError).
        """
        self._say(Frame(event, payload, id))

    async def send_wait(self, event: str, payload: Any = UNSET, *, id: str = "") -> None:  # noqa: A002
        """The same, but wait for room in the buffer instead of raising SendBufferFullError."""
        while True:
            try:
                return self.send(event, payload, id=id)
            except SendBufferFullError:
                await self._carrier.room()

    async def flush(self) -> None:
        """Wait until everything sent so far is on its way and, if the session is exact, has been taken by the server. Raises
        LineClosedError if the line ends first, and SessionLostError if the session does: then `wspulse.lost` tells which
        frames may or may not have been handled."""
        outbox = self._carrier.session.outbox
        pushed, handed_back = outbox.pushed, outbox.handed_back
        while not outbox.is_gone(pushed):
            if self._carrier.closed is not None:
                raise self._carrier.closed_error()
            await self._carrier.room()
            if handed_back != outbox.handed_back <= pushed:
                raise SessionLostError(self.id or self._url_text)

    @overload
    async def call(self, event: str, payload: Any = UNSET, *, timeout_s: float = CALL_S) -> Any: ...
    @overload
    async def call(self, event: str, payload: Any = UNSET, *, timeout_s: float = CALL_S, type: type[T]) -> T: ...
    async def call(self, event: str, payload: Any = UNSET, *, timeout_s: float = CALL_S, type: Any = Any) -> Any:  # noqa: A002
        """Send a frame with an id of its own and return the payload of the frame that comes back with it, decoded to `type`.

        Raises ReplyError where that is `<event>.error`, TimeoutError, SessionLostError when the session ended before the answer,
        LineClosedError, and what `send` raises. A call that nobody waits for any more is not sent, where it still waited for the
        line.
        """
        calls, outbox = self._carrier.calls, self._carrier.session.outbox
        call, outgoing = calls.begin(), None
        try:
            outgoing = self._say(Frame(event, payload, call.id))
            self._carrier.reads_on()
            try:
                async with self._carrier.clock.timeout(timeout_s):
                    answer = await call.answer
            except TimeoutError:
                raise TimeoutError(f"wspulse: no answer to {event!r} in {timeout_s:g} s") from None
        finally:
            calls.end(call)
            if outgoing is not None and outbox.withdraw(outgoing):
                self._carrier.has_sent()
        if answer.event == f"{event}.error":
            raise ReplyError(answer.decode())
        return answer.decode(type)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the line: what waits is sent first where there is a connection, and dropped where there is none. Returns when it
        has ended. Raises ValueError and TypeError for a code or a reason that cannot be sent."""
        check_close(code, reason)
        self._carrier.begin_close(code, reason)
        if self._carrying is not None:
            await self._wait_closed()

    # Its life.

    async def __aenter__(self) -> Line:
        if self._carrying is not None:
            raise RuntimeError("wspulse: a line is entered once")
        self._carrying = asyncio.create_task(self._carrier.run())
        self._handling = asyncio.create_task(self._carrier.handling.run())
        self._handling.add_done_callback(self._handling_has_ended)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        carrying, handling = self._carrying, self._handling
        assert carrying is not None
        assert handling is not None
        try:
            if error is None:
                await self.close()
                await asyncio.wait([handling], timeout=_PATIENCE_S)
            else:
                self._carrier.begin_close(1001, "")
                await asyncio.wait([carrying], timeout=_HASTE_S)
        finally:
            carrying.cancel()
            handling.cancel()
            outcomes = await asyncio.gather(carrying, handling, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError) and error is None:
                raise outcome

    def _handling_has_ended(self, handling: asyncio.Task[None]) -> None:
        """With what no handler may raise, as pytest.fail() does: it is raised when the context is left."""
        if not handling.cancelled() and handling.exception() is not None:
            self._carrier.begin_close(1001, "")

    async def _wait_ready(self) -> None:
        while self._carrier.state != "connected":
            if self._carrier.closed is not None:
                raise self._carrier.closed_error()
            await self._carrier.change()

    async def _wait_closed(self) -> Closed:
        while self._carrier.closed is None:
            await self._carrier.change()
        return self._carrier.closed

    def _say(self, frame: Frame) -> Any:
        if not all(isinstance(name, str) for name in (frame.event, frame.id)):
            raise TypeError("wspulse: event and id are str")
        if frame.event.startswith(RESERVED):
            raise ValueError(f"wspulse: {frame.event!r} is an event of the protocol's own")
        try:
            return self._carrier.say(frame)
        except OutboxFullError:
            raise SendBufferFullError(self.id or self._url_text) from None

    def __repr__(self) -> str:
        return f"<wspulse.client.Line {self._url_text} {self.state}>"
