"""`Owed`: control frames that are to be written ahead of anything else, as soon as the kernel takes something.

Made by a transport when a peer has pinged, or is to be pinged while it is blocked; gone when they are written, or go to
another process with its socket. No I/O.
"""

from __future__ import annotations

from wspulse.actors.wire.frames import PING, PONG, encode_frame, messages_of

__all__ = ["Owed"]


class Owed:
    """At most one ping, and the pongs of one read."""

    __slots__ = ("_ping", "_pongs")

    def __init__(self) -> None:
        self._ping = b""
        self._pongs: list[bytes] = []

    @classmethod
    def of(cls, wire: bytes) -> Owed | None:
        """What `wire()` was; None where that is nothing."""
        if not wire:
            return None
        owed = cls()
        for opcode, payload, _ in messages_of(wire):
            if opcode == PING:
                owed.ping(payload)
            else:
                owed.pong(payload, newest_only=False)
        return owed

    def ping(self, payload: bytes) -> None:
        self._ping = encode_frame(PING, payload)

    def pong(self, payload: bytes, *, newest_only: bool) -> None:
        """Answer a ping. RFC 6455 §5.5.3: only the newest need be answered, so that a peer that does not read costs nothing."""
        if newest_only:
            self._pongs.clear()
        self._pongs.append(encode_frame(PONG, payload))

    def wire(self) -> bytes:
        """All of them."""
        return self._ping + b"".join(self._pongs)
