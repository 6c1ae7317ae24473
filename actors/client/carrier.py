"""`Carrier`: dials, carries a connection to its end, decides whether and when to come back, and begins again.

Each line has one, which is the line's first task; what its transports take goes through here to whoever it is for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from wspulse.actors.client.clock import Clock
from wspulse.actors.client.delays import Delays
from wspulse.actors.client.dial import OPENING_S, Dialer, UndialledError
from wspulse.actors.client.ending import BAD_PEER, DISPLACED, LOST, Closed, End, comes_back, told_delay_s
from wspulse.actors.client.errors import LineClosedError, SessionLostError
from wspulse.actors.client.handling.calls import Calls
from wspulse.actors.client.handling.handlers import Handlers
from wspulse.actors.client.handling.handling import Handling
from wspulse.actors.client.handling.inbox import Inbox
from wspulse.actors.client.messages import data_of, message_of, reader_of
from wspulse.actors.client.outbox import Outgoing
from wspulse.actors.client.session import EXACT, BadPeerError, LineSession, NoSessionError, Opening
from wspulse.actors.client.transport import LineTransport, end_of
from wspulse.actors.values.codec import Codec
from wspulse.actors.values.errors import text_of
from wspulse.actors.values.frame import Frame

__all__ = ["Carrier", "ShouldRetry", "State"]

State = Literal["connecting", "connected", "reconnecting", "closed"]

ShouldRetry = Callable[[int, str], bool | None]

_REFUSED_AFTER = 3
"""So many failures before anything has worked are no accident."""


class Carrier:
    """`should_retry` is asked after every end, with its code (or HTTP status) and reason; None leaves it to the line."""

    def __init__(
        self,
        dialer: Dialer,
        session: LineSession,
        codec: Codec,
        clock: Clock,
        delays: Delays,
        *,
        offers_exact: bool,
        should_retry: ShouldRetry | None,
    ) -> None:
        self.session = session
        self.codec = codec
        self.read = reader_of(codec)
        self.clock = clock
        self.state: State = "connecting"
        self.closed: Closed | None = None
        self.handlers = Handlers()
        self.calls = Calls()
        self.handling = Handling(inbox := Inbox(), self.handlers, answer=self._answer, has_taken=self._has_taken)
        self._inbox = inbox
        self._dialer = dialer
        self._delays = delays
        self._offers_exact = offers_exact
        self._should_retry = should_retry
        self._transport: LineTransport | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing: Closed | None = None
        self._end = End(LOST)
        self._was_connected = False
        self._has_stray = False
        """Whether a dial was lost that may still arrive, and take the place of a later one of ours."""
        self._changed = asyncio.Event()
        self._freed = asyncio.Event()

    # For the line.

    async def run(self) -> None:
        """Until the line is closed. Raises what is the program's fault."""
        self._task = asyncio.current_task()
        try:
            if self._closing is None:
                await self._carry_on()
        except asyncio.CancelledError:
            if self._closing is None:
                raise
        except Exception as error:
            self._end = End(LOST, text_of(error), error=error)
            raise
        finally:
            self._finish(self._closing or Closed(self._end.code, self._end.reason))

    def begin_close(self, code: int, reason: str) -> None:
        """Send what can be sent now, and end; `run` returns then. Where there is no connection, it ends at once."""
        if self.closed is not None or self._closing is not None:
            return
        self._closing = Closed(code, reason)
        if self._transport is not None:
            self._transport.close(code, reason)
        elif self._task is not None:
            self._task.cancel()

    async def change(self) -> None:
        """Until the state is another one."""
        changed = self._changed
        await changed.wait()

    def say(self, frame: Frame, *, is_answer: bool = False) -> Outgoing:
        """Raises LineClosedError, OutboxFullError, and what the codec raises."""
        if self._closing is not None or self.closed is not None:
            raise self.closed_error()
        outgoing = Outgoing(frame, message_of(self.codec, frame), is_answer)
        self.session.outbox.push(outgoing)
        if self._transport is not None:
            self._transport.wake()
        return outgoing

    def closed_error(self) -> LineClosedError:
        closed = self.closed or self._closing or Closed(LOST, "")
        error = LineClosedError(self.session.id, *closed, self._end.status)
        error.__cause__ = self._end.error
        return error

    async def room(self) -> None:
        """Until there may be more room in the outbox, or the line is closed."""
        freed = self._freed
        await freed.wait()

    def reads_on(self) -> None:
        """A call has begun: the transport may take more."""
        self._has_taken()

    # For its transports.

    def has_room(self) -> bool:
        return self._inbox.has_room(bool(self.calls))

    def take(self, frame: Frame, size_bytes: int) -> None:
        if not self.calls.take(frame):
            self._inbox.put(frame, size_bytes, self.session.token)
            self.handling.wake()

    def take_lost(self, count: int) -> None:
        if count:
            self._tell_lost(Opening(recovered=True, lost=count, unacknowledged=[]))

    def has_sent(self) -> None:
        self._freed.set()
        self._freed = asyncio.Event()

    def failed(self, kind: str, error: BaseException | None) -> None:
        self._tell("wspulse.error", {"kind": kind, "error": error})

    # One connection after the other.

    async def _carry_on(self) -> None:
        while True:
            self._end = end = await self._carry()
            if self._closing is not None:
                return
            wait_s = self._wait_s(end)
            if wait_s is None:
                return
            news: dict[str, Any] = {"code": end.code, "reason": end.reason, "delay_s": wait_s, "error": end.error}
            self._become("reconnecting" if self._was_connected else "connecting", **news)
            await self.clock.pause(wait_s)

    async def _carry(self) -> End:
        offers = self.session.offers() if self._offers_exact else []
        try:
            websocket = await self._dialer.dial(offers)
        except UndialledError as error:
            # What was asked of the server may arrive there all the same, and take the next one's place.
            self._has_stray |= error.kind != "url" and not error.end.status
            if error.kind:
                self.failed(error.kind, error.end.error)
            return error.end
        try:
            opening = await self._open(websocket)
        except ConnectionClosed as error:
            return end_of(error)
        except BadPeerError as error:
            await websocket.close(BAD_PEER, str(error))
            return End(BAD_PEER, str(error))
        except (NoSessionError, TimeoutError) as error:
            self._has_stray = True
            self.failed("opening", error)
            return End(LOST, str(error) or "no first frame in time", error=error)
        else:
            return await self._use(websocket, opening)
        finally:
            websocket.transport.abort()

    async def _open(self, websocket: ClientConnection) -> Opening:
        if websocket.subprotocol != EXACT:
            return self.session.open_plain()
        async with self.clock.timeout(OPENING_S):
            message = await websocket.recv()
        try:
            frame = self.read(data_of(self.codec, message))
        except Exception as error:
            raise NoSessionError(f"the first frame cannot be read: {text_of(error)}") from None
        return self.session.open_exact(frame)

    async def _use(self, websocket: ClientConnection, opening: Opening) -> End:
        if not opening.recovered:
            waiting = self.session.outbox.waiting_ids()
            self.calls.fail(lambda: SessionLostError(self.session.id), but=waiting)
        if opening.lost or not opening.recovered:
            self._tell_lost(opening)
        self._was_connected = True
        self.has_sent()
        self._transport = LineTransport(self, websocket)
        self._become("connected")
        since = self.clock.now()
        try:
            return await self._transport.run()
        finally:
            self._transport = None
            duration_s = self.clock.now() - since
            self._delays.was_up(duration_s)
            if duration_s >= OPENING_S:
                self._has_stray = False  # it would have come by now

    def _wait_s(self, end: End) -> float | None:
        """How long to stay away; None: for good."""
        comes = comes_back(end, self._has_stray)
        if end.reason in DISPLACED:
            self._has_stray = False
        if self._should_retry is not None:
            try:
                wanted = self._should_retry(end.status or end.code, end.reason)
            except Exception as error:
                self.failed("handler", error)
            else:
                comes = comes if wanted is None else bool(wanted)
        failures = 0 if self._was_connected else self._delays.tries + 1
        if not comes:
            if end.status:
                self._tell("wspulse.refused", {"failures": failures, "status": end.status, "reason": end.reason})
            return None
        wait_s = self._delays.next_s(told_delay_s(end.reason), is_slow=failures >= _REFUSED_AFTER)
        if wait_s is not None and failures == _REFUSED_AFTER:
            self._tell("wspulse.refused", {"failures": failures, "status": end.status, "reason": end.reason})
        return wait_s

    def _finish(self, closed: Closed) -> None:
        self.closed = closed
        if self._closing is not None:
            self._end = End(*closed)
        self.calls.fail(self.closed_error)
        self.has_sent()
        self._become("closed", code=closed.code, reason=closed.reason, error=self._end.error)
        is_error = self._closing is None and closed.code != 1000
        self.handling.finish(self.closed_error if is_error else None)

    # What is told.

    def _become(self, state: State, **news: Any) -> None:
        self.state = state
        self._changed.set()
        self._changed = asyncio.Event()
        self._tell("wspulse.state", {"state": state, **news})

    def _tell_lost(self, opening: Opening) -> None:
        self._tell("wspulse.lost", opening._asdict())

    def _tell(self, event: str, payload: dict[str, Any]) -> None:
        self._inbox.put_news(Frame(event, payload))
        self.handling.wake()

    def _answer(self, frame: Frame, token: str) -> None:
        # To another session than the one that asked it would be a frame like any other.
        if self._closing is None and self.closed is None and token == self.session.token:
            self.say(frame, is_answer=True)

    def _has_taken(self) -> None:
        if self._transport is not None:
            self._transport.has_taken()
