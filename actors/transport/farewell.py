"""`Farewell`: how a peer ended its connection, a value without I/O."""

from __future__ import annotations

from typing import NamedTuple

from wspulse.actors.values.close_code import EMPTY_CLOSE_CODE, NORMAL_CLOSE_CODES
from wspulse.actors.values.errors import PeerClosedError
from wspulse.actors.wire.frames import parse_close

__all__ = ["Farewell", "farewell_of"]


class Farewell(NamedTuple):
    """What callbacks report, None for an end in order, and whether the peer meant to leave for good (contract.md §3)."""

    error: BaseException | None
    said_goodbye: bool = False


_GOODBYE = Farewell(None, said_goodbye=True)
_IN_ORDER = Farewell(None)


def farewell_of(close_payload: bytes) -> Farewell:
    """That of a close frame. Raises ProtocolError as `parse_close` does."""
    code, reason = parse_close(close_payload)
    if code in NORMAL_CLOSE_CODES:
        return _GOODBYE if code in (1000, EMPTY_CLOSE_CODE) else _IN_ORDER
    return Farewell(PeerClosedError(code, reason))
