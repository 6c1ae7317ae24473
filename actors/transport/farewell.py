"""`Farewell`: how a peer ended its connection, a value without I/O."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from wspulse.actors.values.close_code import EMPTY_CLOSE_CODE, NORMAL_CLOSE_CODES
from wspulse.actors.values.errors import PeerClosedError
from wspulse.actors.wire.frames import parse_close

__all__ = ["Farewell", "Losing", "farewell_of"]


class Losing(Protocol):
    """A session, as this sees it."""

    def transport_lost(
        self, error: BaseException | None, *, said_goodbye: bool = False, for_good: bool = False
    ) -> None: ...


class Farewell(NamedTuple):
    """What callbacks report, None for an end in order, and whether the peer meant to leave (contract §3)."""

    error: BaseException | None
    said_goodbye: bool = False
    """With 1000, or without a code."""
    for_good: bool = False
    """With 1000."""

    def tell(self, session: Losing) -> None:
        """Tell the session that its transport is lost so."""
        session.transport_lost(self.error, said_goodbye=self.said_goodbye, for_good=self.for_good)


_FOR_GOOD = Farewell(None, said_goodbye=True, for_good=True)
_GOODBYE = Farewell(None, said_goodbye=True)
_IN_ORDER = Farewell(None)


def farewell_of(close_payload: bytes) -> Farewell:
    """That of a close frame. Raises ProtocolError as `parse_close` does."""
    code, reason = parse_close(close_payload)
    if code in NORMAL_CLOSE_CODES:
        return _FOR_GOOD if code == 1000 else _GOODBYE if code == EMPTY_CLOSE_CODE else _IN_ORDER
    return Farewell(PeerClosedError(code, reason))
