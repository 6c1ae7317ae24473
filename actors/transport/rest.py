"""What a transport has read and not handled, when it ends: messages that its session still gets, and how the peer ended.

Called by the transport with its parser; nothing here touches a socket.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from wspulse.actors.transport.farewell import Farewell, Losing, farewell_of
from wspulse.actors.values.errors import ConnectionLostError, ProtocolError
from wspulse.actors.wire.frames import BINARY, CLOSE
from wspulse.actors.wire.framing import PAUSE, FrameParser

__all__ = ["bequeath", "comes_to_close", "hand_over"]


class Bequeathed(Losing, Protocol):
    """A session, as this sees it."""

    @property
    def inbox(self) -> Bequest: ...


class Bequest(Protocol):
    """Its inbox."""

    def receive_rest(self, opcode: int, payload: bytes) -> None: ...


def hand_over(parser: FrameParser, receive: Callable[[int, bytes], None]) -> Farewell | None:
    """Give what was read to `receive(opcode, payload)`. Returns how the peer ended, if that was among it."""
    try:
        while (message := parser.next()) is not None:
            opcode, payload = message
            if opcode <= BINARY:
                receive(opcode, payload)
            elif opcode == CLOSE:
                return farewell_of(payload)
    except ProtocolError as error:
        return Farewell(error)
    return None


def bequeath(parser: FrameParser, session: Bequeathed, cause: BaseException | None) -> None:
    """The socket is gone, and `cause` is why: the session gets what was read and not yet handled, and how the peer ended."""
    farewell = hand_over(parser, session.inbox.receive_rest)
    if farewell is None:
        error = ConnectionLostError()
        error.__cause__ = cause
        farewell = Farewell(error)
    farewell.tell(session)


def comes_to_close(parser: FrameParser, most_messages: int) -> bool | None:
    """Throw away what was read, up to `most_messages` of it, control frames included. Returns whether the peer's close frame was
    among it, None where more is to be looked at; raises ProtocolError."""
    for _ in range(most_messages):
        message = parser.next()
        if message is None:
            return False
        if message[0] == CLOSE:
            return True
        if message[0] == PAUSE:
            break
    return None if parser.rest else False
