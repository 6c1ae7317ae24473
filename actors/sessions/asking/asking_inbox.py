"""`AskingInbox`: the inbox of a session that has called its client: answers go to the calls that wait, and to no handler.

What an `Inbox` becomes at its session's first call, for as long as the session lives, since a client may answer late and twice.
So a session that never calls pays nothing for those that do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

from wspulse.actors.sessions.asking.answer import CALL_ID_PREFIX, Answer, decoded
from wspulse.actors.sessions.inbox import Inbox
from wspulse.actors.sessions.inbox_limits import FRAME_BYTES, INBOUND_LIMIT_BYTES, INBOUND_LIMIT_FRAMES
from wspulse.actors.transport.state import TransportState
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.text.exact import RESERVED

__all__ = ["AskingInbox", "Waiting"]

MORE_FRAMES = 256
"""So many more than else may wait for a handler while a call waits, whose answer may stand behind them."""

MORE_BYTES = 1024 * 1024

Waiting: TypeAlias = "asyncio.Future[Answer | None]"
"""A call that waits: its answer, or None when its time is over."""


class AskingInbox(Inbox):
    """See the module. It has no more state than an inbox: `asked` is there in both."""

    __slots__ = ()

    def receive(self, opcode: int, payload: bytes) -> None:
        """Give an answer to its call, and handle any other message as an inbox does."""
        shard = self._shard
        shard.metrics.frames_in += 1
        on_message = shard.handlers.on_message
        try:
            frame = decoded(shard, opcode, payload)
            is_reserved = frame.event.startswith(RESERVED)
            is_answer = frame.id and frame.id.startswith(CALL_ID_PREFIX)
        except BaseException as error:
            if on_message is not None:
                shard.undecodable(self.connection, error)
            return
        if is_reserved:
            shard.metrics.frames_reserved += 1
        elif is_answer:
            self.answered(frame, opcode, payload)
        elif on_message is not None:
            if self._busy or self._mailbox or (self.asked and self._is_to_move):
                self._append(frame, len(payload) + FRAME_BYTES)
            else:
                self._handle_at_once(on_message, frame)

    @property
    def _is_to_move(self) -> bool:
        """Whether its session comes to rest: then it is read for the answers alone."""
        halting = self._shard.halting
        return halting is not None and halting.holds(self)

    def _handle_at_once(self, on_message: Callable[..., Any], frame: Frame) -> None:
        """What `Inbox.receive` has inlined, for whom one more call would be 50 ns for every frame."""
        self._busy = True
        try:
            result = self.context.run(on_message, self.connection, frame)
            is_awaited = result is not None and hasattr(result, "__await__")
        except BaseException as error:
            self._message_handler_raised(error)
            is_awaited = False
        if is_awaited:
            self.handling = item = (frame, 0)
            self._shard.spawn(self, self._work(item, result))
            return
        self._busy = False
        if self._mailbox:
            self._pump()

    def answered(self, frame: Frame, opcode: int, payload: bytes) -> None:
        """A frame has the id of a call."""
        waiting = self.asked.get(frame.id) if self.asked is not None else None
        if waiting is None or waiting.done():
            self._shard.answer_dropped(self.connection)
        else:
            waiting.set_result(Answer(frame, opcode, payload))

    def _append(self, frame: Frame, size_bytes: int) -> None:
        mailbox = self._mailbox
        if mailbox is None:
            mailbox = self._mailbox = deque()
        mailbox.append((frame, size_bytes))
        self._waiting_bytes += size_bytes
        if self.behind:
            self._hold()

    @property
    def behind(self) -> bool:
        """Whether so much waits for the handler that the socket is not to be read, answers to calls that wait or not."""
        frames, size_bytes = INBOUND_LIMIT_FRAMES, INBOUND_LIMIT_BYTES
        if self.asked:
            frames += MORE_FRAMES
            size_bytes += MORE_BYTES
        waiting_frames = 0 if self._mailbox is None else len(self._mailbox)
        return waiting_frames >= frames or self._waiting_bytes >= size_bytes

    def call_begins(self, call_id: str, waiting: Waiting) -> None:
        """Have the socket read, though frames wait: the answer may stand behind them."""
        if self.asked is None:
            self.asked = {}
        self.asked[call_id] = waiting
        transport = self._session.transport
        if transport is None or self.behind:
            return
        if transport.state is TransportState.HELD:
            transport.release()
        else:
            # A session that is to move comes to rest when the answer is here.
            transport.read_on()

    def call_ends(self, call_id: str) -> None:
        """Forget a call, however it has ended."""
        if self.asked is None or self.asked.pop(call_id, None) is None or self.asked:
            return
        if self.behind:
            self._hold()
        transport = self._session.transport
        if transport is not None and self._is_to_move:
            # It was read for the answer alone.
            transport.stop_reading()

    def _hold(self) -> None:
        transport = self._session.transport
        if transport is not None:
            transport.hold()
