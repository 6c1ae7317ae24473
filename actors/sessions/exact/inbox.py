"""`ExactInbox`: the inbox of an exact session: it counts what it takes, and hears what the protocol's own frames say.

A message is taken when it is handled at once or put into the mailbox, which outlives transports; from then on it is handled,
once, whatever becomes of its transport and of the handlers before it. What is not taken is not counted, nor is anything behind
it.
"""

from __future__ import annotations

from typing import Protocol, cast

from wspulse.actors.sessions.asking.answer import CALL_ID_PREFIX, decoded
from wspulse.actors.sessions.asking.asking_inbox import AskingInbox
from wspulse.actors.sessions.exact.frames import ACK
from wspulse.actors.sessions.inbox import Callback, Inbox
from wspulse.actors.sessions.inbox_contract import InboxSession, InboxShard
from wspulse.actors.sessions.inbox_limits import FRAME_BYTES, REST_LIMIT_BYTES
from wspulse.actors.values.close_code import CloseReason
from wspulse.actors.values.errors import ProtocolError
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.text.exact import RESERVED
from wspulse.actors.wire.frames import TEXT

__all__ = ["ExactInbox"]

_USUAL_ACK = b'{"event":"%s","payload":' % ACK.encode()
_BRACE, _ZERO = b"}0"


class _Acknowledging(Protocol):
    """The session, beside what every inbox needs of its own."""

    def took(self, size_bytes: int) -> None:
        """A message was taken."""

    def acknowledged(self, count: int) -> None:
        """The client has got so many frames. Raises ValueError where it cannot have."""


class ExactInbox(AskingInbox):
    """See the module. `received` counts what was taken since the session began."""

    __slots__ = ("_exact", "received")

    def __init__(self, shard: InboxShard[Inbox], session: InboxSession) -> None:
        super().__init__(shard, session)
        self._exact = cast("_Acknowledging", session)
        self.received = 0

    def receive(self, opcode: int, payload: bytes) -> None:
        shard = self._shard
        shard.metrics.frames_in += 1
        if payload.startswith(_USUAL_ACK) and opcode == TEXT and shard.wants_text:
            # As everybody writes it: a third of what it costs to decode.
            digits = payload[len(_USUAL_ACK) : -1]
            if (
                digits.isdigit()
                and payload[-1] == _BRACE
                and (digits[0] != _ZERO or len(digits) == 1)
                and len(digits) < 19
            ):
                self._hear_count(int(digits))
                return
        on_message = shard.handlers.on_message
        try:
            frame = decoded(shard, opcode, payload)
            is_own = frame.event.startswith(RESERVED)
        except BaseException as error:
            self._take(payload)
            if on_message is not None:
                shard.undecodable(self.connection, error)
            return
        if is_own:
            self._hear(frame)
            return
        self._take(payload)
        if self.asked is not None and frame.id and frame.id.startswith(CALL_ID_PREFIX):
            self.answered(frame, opcode, payload)
        elif on_message is not None:
            if self._busy or self._mailbox or (self.asked and self._is_to_move):
                self._append(frame, len(payload) + FRAME_BYTES)
            else:
                self._handle_at_once(on_message, frame)

    def receive_rest(self, opcode: int, payload: bytes) -> None:
        # Nothing of the mailbox is handled while a transport leaves its rest: what comes behind what was not taken is not either.
        if self._waiting_bytes < REST_LIMIT_BYTES:
            super().receive_rest(opcode, payload)

    def _take(self, payload: bytes) -> None:
        self.received += 1
        self._exact.took(len(payload))

    def _hear(self, frame: Frame) -> None:
        """A frame of the protocol's own, which is not counted. Raises ProtocolError for an acknowledgement that cannot be."""
        if frame.event != ACK:
            self._shard.metrics.frames_reserved += 1
            return
        try:
            count = frame.decode()
        except Exception:  # what a peer made up
            count = None
        if type(count) is not int:
            raise ProtocolError(CloseReason.BAD_ACKNOWLEDGEMENT.code, CloseReason.BAD_ACKNOWLEDGEMENT.reason)
        self._hear_count(count)

    def _hear_count(self, count: int) -> None:
        try:
            self._exact.acknowledged(count)
        except ValueError:
            raise ProtocolError(CloseReason.BAD_ACKNOWLEDGEMENT.code, CloseReason.BAD_ACKNOWLEDGEMENT.reason) from None

    def discard_frames(self) -> None:
        """What was taken is handled."""

    def _message_handler_raised(self, error: BaseException) -> None:
        """End the transport that brought the frame, if it is still there: nothing that stands behind the frame is forgotten."""
        if not self._shard.callback_raised(self.connection, "on_message", error):
            return
        mailbox = self._mailbox
        is_current = mailbox is None or not any(isinstance(item, Callback) for item in mailbox)
        if is_current and self._session.transport is not None:
            self._session.transport_failed(error, CloseReason.HANDLER_RAISED)
