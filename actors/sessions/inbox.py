"""`Inbox`: the inbound half of a session: the mailbox in front of the application's callbacks.

Made by each `Session` for itself; the transport gives it what the peer sends. Callbacks are user code and run one at a time, in
the order of the mailbox. A message that finds the mailbox idle is handled at once, inside the read that brought it; everything
else runs from the loop, never inside a step of the shard.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.sessions.inbox_contract import InboxSession, InboxShard, Predecessor
from wspulse.actors.sessions.inbox_limits import (
    FRAME_BYTES,
    INBOUND_LIMIT_BYTES,
    INBOUND_LIMIT_FRAMES,
    RELEASE_BYTES,
    RELEASE_FRAMES,
    REST_LIMIT_BYTES,
    TURN_ENTRIES,
)
from wspulse.actors.transport.state import TransportState
from wspulse.actors.values.close_code import CloseReason
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.text.exact import RESERVED
from wspulse.actors.wire.frames import TEXT

__all__ = ["Callback", "Inbox", "calling_inbox"]

_current_session: ContextVar[InboxSession | None] = ContextVar("wspulse_session", default=None)
"""Whose async handler is running, or whose began what is. The session, since its context would keep its inbox alive."""


def calling_inbox() -> Inbox | None:
    """That of the session whose handler calls, for calls that must not wait for it; None for all others."""
    return getattr(_current_session.get(), "inbox", None)


class Callback(NamedTuple):
    """An entry of the mailbox other than a frame."""

    kind: str
    error: BaseException | None = None


_Waiting = tuple[Frame, int]
"""A frame that waits, and what it takes, in bytes."""

_Run = Callable[..., Any]
"""Calls a handler with its arguments."""

_Begun = tuple[_Waiting | Callback, Awaitable[Any]]
"""An entry of the mailbox whose handler was called, and what it has yet to be awaited."""


class Inbox:
    """See the module. A task runs only while the mailbox has work and its handler is async.

    While the inbox is busy, exactly one of these goes on with the mailbox: the call of a handler inside a read, a `_pump` that
    the loop has yet to call, the task of `_work`, or the predecessor's end. Each restores that whatever a handler raises.
    """

    __slots__ = (
        "_busy",
        "_mailbox",
        "_session",
        "_shard",
        "_waiting_bytes",
        "asked",
        "connection",
        "context",
        "handling",
        "successor",
    )

    connection: Connection
    """What the application sees of the session, given by the shard."""

    def __init__(self, shard: InboxShard[Inbox], session: InboxSession) -> None:
        self._shard = shard
        self._session = session
        self.context = shard.context.copy()
        """In which every handler of this session runs and no other's, so that what they set is theirs (contract §3)."""
        self.successor: Inbox | None = None
        """That of a newer session of the same id, whose callbacks wait for the end of this one's."""
        self._mailbox: deque[_Waiting | Callback] | None = None
        """None while nothing waits, which spares an idle session the deque's 760 bytes; the same one until then."""
        self._waiting_bytes = 0
        self._busy = False
        self.asked: dict[str, asyncio.Future[Any]] | None = None
        """The calls that wait for answers of the client, by their ids; once there was one (`AskingInbox`)."""
        self.handling: Any = None
        """The entry whose handler is awaited, for whoever looks how long that takes."""

    @property
    def key(self) -> tuple[int, int]:
        return self._session.key

    # What comes.

    def receive(self, opcode: int, payload: bytes) -> None:
        """Handle a message of the peer, or put it behind those that wait. `AskingInbox` looks for answers first."""
        shard = self._shard
        shard.metrics.frames_in += 1
        on_message = shard.handlers.on_message
        if on_message is None:
            return
        connection = self.connection
        try:
            if opcode == TEXT:
                frame = shard.decode(payload if not shard.keeps_kind else payload.decode())
            else:
                if shard.wants_text:
                    # Only text was checked on its way in, and what a codec passes through raw may go out as text.
                    payload.decode()
                frame = shard.decode(payload)
        except Exception as error:
            try:
                frame = shard.decode_refused(payload, error)
            except BaseException as error:
                shard.undecodable(connection, error)
                return
        except BaseException as error:
            shard.undecodable(connection, error)
            return
        try:  # to compare first is a third of the look at its beginning, for nearly all
            if frame.event >= RESERVED and frame.event.startswith(RESERVED):
                shard.metrics.frames_reserved += 1
                return
        except Exception as error:  # an event of a user's codec that is no text
            shard.undecodable(connection, error)
            return
        if self._busy or self._mailbox:
            self._append(frame, len(payload) + FRAME_BYTES)
            return
        # The usual case has a lane of its own, which needs no mailbox.
        self._busy = True
        try:
            result = self.context.run(on_message, connection, frame)
            is_awaited = result is not None and hasattr(result, "__await__")
        except BaseException as error:
            self._message_handler_raised(error)
            is_awaited = False
        if is_awaited:
            self.handling = item = (frame, 0)
            shard.spawn(self, self._work(item, result))
            return
        self._busy = False
        if self._mailbox:
            self._pump()

    def receive_rest(self, opcode: int, payload: bytes) -> None:
        """Take a message that a transport had read and not yet handed over when it was lost or replaced; it runs from the loop.

        It is dropped where earlier transports have left too much: lost with its transport, like what the kernel still had.
        """
        if self._waiting_bytes >= REST_LIMIT_BYTES:
            self._shard.rest_dropped(self.connection)
            return
        # Busy from here on, so that it waits: no handler may run inside the step that takes the transport away.
        self._run_soon()
        self.receive(opcode, payload)

    def _append(self, frame: Frame, size_bytes: int) -> None:
        mailbox = self._mailbox
        if mailbox is None:
            mailbox = self._mailbox = deque()
        mailbox.append((frame, size_bytes))
        waiting_bytes = self._waiting_bytes = self._waiting_bytes + size_bytes
        if len(mailbox) >= INBOUND_LIMIT_FRAMES or waiting_bytes >= INBOUND_LIMIT_BYTES:
            transport = self._session.transport
            if transport is not None:
                transport.hold()

    @property
    def busy(self) -> bool:
        """Whether a callback runs or waits."""
        return self._busy

    @property
    def behind(self) -> bool:
        """Whether so much waits for the handler that the socket is not to be read."""
        waiting_frames = 0 if self._mailbox is None else len(self._mailbox)
        return waiting_frames >= INBOUND_LIMIT_FRAMES or self._waiting_bytes >= INBOUND_LIMIT_BYTES

    def post(self, kind: str, error: BaseException | None = None) -> None:
        """Put a callback behind what waits; it runs from the loop."""
        if self._mailbox is None:
            self._mailbox = deque()
        self._mailbox.append(Callback(kind, error))
        self._run_soon()

    def _run_soon(self) -> None:
        if not self._busy:
            self._busy = True
            self._pump_soon()

    def discard_frames(self) -> None:
        """Forget what the peer had sent and nobody has handled; callbacks stay."""
        mailbox = self._mailbox
        if mailbox:
            callbacks = [item for item in mailbox if isinstance(item, Callback)]
            mailbox.clear()
            mailbox.extend(callbacks)
            self._waiting_bytes = 0

    def discard_all(self) -> None:
        """Forget all that waits: the application has ended the session, and hears only that."""
        if self._mailbox:
            self._mailbox.clear()
            self._waiting_bytes = 0

    def wait_for(self, predecessor: Predecessor[Inbox]) -> None:
        """No callback of this session runs before the last one of `predecessor`."""
        self._busy = True
        predecessor.successor = self

    def predecessor_finished(self) -> None:
        if self._mailbox:
            self._pump_soon()
        else:
            self._come_to_rest()

    # What runs.

    def _pump_soon(self) -> None:
        # Not in the session's context, which each handler enters; nor in that of whoever made it due, another session's maybe.
        shard = self._shard
        shard.loop.call_soon(self._pump, context=shard.context)

    def _pump(self) -> None:
        """Run what waits; where a handler is to be awaited, go on in a task."""
        self._busy = True
        begun = self._drain(self.context.run)
        if begun is not None:
            self.handling = begun[0]
            self._shard.spawn(self, self._work(*begun))

    async def _work(self, item: _Waiting | Callback, awaitable: Awaitable[Any]) -> None:
        """Await a handler that was called and is `handling`, and run what has come meanwhile."""
        shard = self._shard
        if _current_session.get() is not self._session:
            _current_session.set(self._session)
        raised: BaseException | None = None
        left = TURN_ENTRIES
        try:
            while True:
                try:
                    await awaitable
                except BaseException as error:
                    if shard.aborting and isinstance(error, asyncio.CancelledError):
                        raise
                    if isinstance(error, GeneratorExit) and self._is_thrown_away():
                        raise
                    raised = error
                if self.handling is not item:
                    # Somebody has looked how long it takes.
                    raised = shard.cancellations.outcome(self.handling, raised)
                if raised is not None:
                    self._raised(item, raised)
                    raised = None
                if isinstance(item, Callback):
                    self._done(item)
                if self._mailbox is None:
                    # Most often nothing has come meanwhile.
                    self._come_to_rest()
                    break
                left -= 1
                if left == 0:
                    left = TURN_ENTRIES
                    self.handling = None
                    await self._give_way()
                begun = self._drain(_call)
                if begun is None:
                    break
                item, awaitable = begun
                self.handling = item
        finally:
            # Not there, where the loop's tasks begin at once and this one has ended within its first step.
            shard.working.pop(self, None)
            self.handling = None
            # The traceback of what a handler raised holds this frame, and an on_disconnect that of its error.
            raised = begun = None
            del item, awaitable

    def refuses(self, item: _Waiting | Callback, error: BaseException) -> None:
        """The handler of `item` has not ended, long after its cancellation, and counts as having raised `error`; what waits for
        its end goes on waiting."""
        self._raised(item, error)
        self._read_on()

    def _read_on(self) -> None:
        """Have the socket read again, if it was not, when little enough waits."""
        transport = self._session.transport
        if transport is not None and transport.state is TransportState.HELD:
            waiting_frames = len(self._mailbox) if self._mailbox is not None else 0
            if waiting_frames <= RELEASE_FRAMES and self._waiting_bytes <= RELEASE_BYTES:
                transport.release()

    def _is_thrown_away(self) -> bool:
        """Whether a GeneratorExit was not raised by a handler: the loop was given up, and `_work` does not run in its task."""
        task = asyncio.current_task(self._shard.loop)
        return task is None or self._shard.working.get(self, task) is not task

    async def _give_way(self) -> None:
        """Let the loop run once. Raises CancelledError where the shard aborts; any other cancellation was a handler's."""
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if self._shard.aborting:
                raise

    def _drain(self, run: _Run) -> _Begun | None:
        """Call one handler after the other, by `run` in the session's context, until one is to be awaited, which is returned,
        nothing waits, or the turn is over."""
        shard = self._shard
        left = TURN_ENTRIES
        item: _Waiting | Callback | None = None
        try:
            while mailbox := self._mailbox:
                if shard.halting is not None and shard.halting.stops(self):
                    return None
                if left == 0:
                    self._pump_soon()
                    return None
                left -= 1
                item = mailbox.popleft()
                if not isinstance(item, Callback):
                    self._waiting_bytes -= item[1]
                self._read_on()
                awaitable = self._call(item, run)
                if awaitable is not None:
                    return item, awaitable
                if isinstance(item, Callback):
                    self._done(item)
        finally:
            # As in `_work`: what a handler raised holds this frame.
            item = None
        self._mailbox = None
        self._come_to_rest()
        return None

    def _come_to_rest(self) -> None:
        self._busy = False
        transport = self._session.transport
        if transport is not None and transport.half_closed:
            # It was open for answers only, and none is due any more.
            transport.release()

    def _call(self, item: _Waiting | Callback, run: _Run) -> Awaitable[Any] | None:
        """Call the handler of one entry. Returns what is still to be awaited."""
        handlers = self._shard.handlers
        try:
            result: Any
            if not isinstance(item, Callback):
                on_message = handlers.on_message
                result = run(on_message, self.connection, item[0]) if on_message is not None else None
            else:
                handler = getattr(handlers, item.kind, None)
                if handler is None:
                    return None
                if item.kind in ("on_connect", "on_transport_restore", "on_transfer_in", "on_transfer_out"):
                    result = run(handler, self.connection)
                else:
                    result = run(handler, self.connection, item.error)
            return result if result is not None and hasattr(result, "__await__") else None
        except BaseException as error:
            self._raised(item, error)
            return None

    def _raised(self, item: _Waiting | Callback, error: BaseException) -> None:
        if isinstance(item, Callback):
            self._shard.callback_raised(self.connection, item.kind, error)
        else:
            self._message_handler_raised(error)

    def _message_handler_raised(self, error: BaseException) -> None:
        if not self._shard.callback_raised(self.connection, "on_message", error):
            return
        mailbox = self._mailbox
        while mailbox and not isinstance(mailbox[0], Callback):
            self._waiting_bytes -= mailbox.popleft()[1]  # type: ignore[operator]
        if not mailbox and self._session.transport is not None:
            # No drop, restore or end stands behind the frame, so the transport that brought it is still the current one.
            self._session.transport_failed(error, CloseReason.HANDLER_RAISED)

    def _done(self, item: Callback) -> None:
        if item.kind == "on_disconnect":
            self._shard.session_finished(self)
            self._session.finished()


def _call(handler: Callable[..., Any], *args: Any) -> Any:
    """For whoever is in the session's context already, which cannot be entered twice."""
    return handler(*args)
