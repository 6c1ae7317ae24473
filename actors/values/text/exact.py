"""The subprotocol of exact sessions: its name, its reserved events, and what a client offers that comes back
(doc/reference/protocol.md)."""

from __future__ import annotations

from collections.abc import Sequence
from re import compile as _pattern
from typing import Final, NamedTuple

__all__ = ["RESERVED", "RESUME_PREFIX", "SUBPROTOCOL", "Claim", "check_event", "claim_in"]

SUBPROTOCOL: Final = "wspulse.1"

RESERVED: Final = "wspulse."
"""With which the events of the protocol's own frames begin, and no others."""

RESUME_PREFIX: Final = "wspulse.resume."

_claim_of = _pattern(r"wspulse\.resume\.([A-Za-z0-9_-]{22,400})\.([0-9]{1,16})").fullmatch


class Claim(NamedTuple):
    """A client says that a session is its own."""

    token: str
    """As the server has told it."""
    received: int
    """How many frames of that session it has got."""
    is_nameless: bool = False
    """Whether the application leaves it to the token whose it is."""


def claim_in(offered: Sequence[str]) -> Claim | None:
    """What a client that offers these subprotocols claims; the first of several."""
    for name in offered:
        found = _claim_of(name)
        if found is not None:
            return Claim(found[1], int(found[2]))
    return None


def check_event(event: str) -> None:
    """Raises ValueError for an event that no application may send."""
    if event.startswith(RESERVED):
        raise ValueError(f"wspulse: events that begin with {RESERVED!r} are reserved for the protocol: {event!r}")
