"""How a connection ended, or a try to make one, and what that means: come back or stay away, and when.

The line asks here after every end. What the codes mean is doc/reference/protocol.md's table. No I/O.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["BAD_PEER", "DISPLACED", "LOST", "Closed", "End", "comes_back", "told_delay_s"]

LOST = 1006
"""No close frame came. Never on the wire."""

BAD_PEER = 1002

_FINAL = frozenset({1000, 1002, 1003, 1007, 1008, 1009})
"""The same would be said again. From 4000 on the application says what it means."""

DISPLACED = frozenset({"replaced", "duplicate connection id"})
"""What is said with 1000 to a connection whose place another one of its id has taken: with its session, or without."""

_REFUSED = frozenset({401, 403})

_TOLD_DELAY = re.compile(r"\bretry=(\d+)\b", re.ASCII)

_LONGEST_TOLD_S = 3600.0
"""Of a server that says more, no more is believed."""


class Closed(NamedTuple):
    """How a line ended for good. `code` is 1006 when no close frame came, 1005 when it had no code."""

    code: int
    reason: str


class End(NamedTuple):
    """How one connection ended, or one try to make one."""

    code: int
    reason: str = ""
    status: int = 0
    """What the server answered instead of 101, or 0."""
    error: BaseException | None = None
    """What the network, or whoever stands between, said."""


def comes_back(end: End, has_stray: bool) -> bool:
    """Whether the line comes back after that by itself. `has_stray`: a dial of it was lost and may have arrived late, so
    that it may be itself that has taken its place."""
    if end.status:
        return end.status not in _REFUSED
    if has_stray and end.code == 1000 and end.reason in DISPLACED:
        return True
    return end.code not in _FINAL and not 4000 <= end.code <= 4999


def told_delay_s(reason: str) -> float | None:
    """What a close reason says about when to come back (`service restart; retry=1500`), in seconds; None if it says nothing."""
    found = _TOLD_DELAY.search(reason)
    return min(int(found[1]) / 1000, _LONGEST_TOLD_S) if found else None
