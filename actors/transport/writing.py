"""`Writing`: what is being written to sockets, kept by reference for the one that does not take all of it.

One per shard. Whoever writes stores it there before: once for all whom a room writes to, so that it costs a fan-out nothing by
member. A loop that writes at once keeps no more than the end of what was written last; so a transport that is blocked within its
write knows of which bytes the rest has yet to be sent, and can take it to another process.
"""

from __future__ import annotations

__all__ = ["Writing"]


class Writing:
    """See the module."""

    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data = b""
