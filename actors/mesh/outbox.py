"""`Outbox`: what a stream was given to send and the kernel has not taken, in order, as bytes with the descriptors of each.

Made by a `Stream`, which asks for the next piece and says how much of it went. An envelope can be taken back until its first
byte has gone: nothing is sent, nor kept in memory, for somebody who no longer waits for it. It touches no socket and no
descriptor: those that it names are their senders'.
"""

from __future__ import annotations

from itertools import islice

__all__ = ["MOST_DESCRIPTORS", "PIECE_BYTES", "Outbox"]

PIECE_BYTES = 64 * 1024
"""Small envelopes are joined up to this; a larger one goes by itself and is not copied."""

MOST_DESCRIPTORS = 16
"""That travel with one piece."""


class Outbox:
    """See the module. Numbers begin at 1, so that 0 can stand for what was never put in."""

    __slots__ = ("_begun", "_joined", "_number", "_waiting", "waiting_bytes")

    def __init__(self) -> None:
        self.waiting_bytes = 0
        self._waiting: dict[int, tuple[bytes, int | None]] = {}
        """By number, in order. (An OrderedDict made the way of an envelope 0.5 µs longer.)"""
        self._number = 0
        self._begun: bytes | memoryview = b""
        """The rest of a piece whose beginning, and descriptors, have gone: it has to follow, or the stream to end."""
        self._joined = 0
        """How many envelopes the piece has that was asked for last."""

    def __bool__(self) -> bool:
        return self.waiting_bytes > 0

    def put(self, data: bytes, fd: int | None) -> int:
        """Add an envelope. Returns its number."""
        self._number = number = self._number + 1
        self._waiting[number] = (data, fd)
        self.waiting_bytes += len(data)
        return number

    def take_back(self, number: int) -> bool:
        """Send that one no more. False when it has gone already, or has begun to."""
        taken = self._waiting.pop(number, None)
        if taken is None:
            return False
        self.waiting_bytes -= len(taken[0])
        return True

    def next_piece(self) -> tuple[bytes | memoryview, list[int]]:
        """What is to be sent first, with its descriptors, which go with its first byte. It stays here until `sent`."""
        if self._begun:
            return self._begun, []
        pieces: list[bytes] = []
        descriptors: list[int] = []
        size = 0
        for data, fd in self._waiting.values():
            size += len(data)
            if pieces and size > PIECE_BYTES:
                break
            if fd is not None:
                if len(descriptors) == MOST_DESCRIPTORS:
                    break
                descriptors.append(fd)
            pieces.append(data)
        self._joined = len(pieces)
        return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), descriptors

    def sent(self, piece: bytes | memoryview, size_bytes: int) -> None:
        """So much of the piece that was asked for has gone. Nothing was put in or taken back since."""
        if not size_bytes:
            return
        if not self._begun:
            if self._joined == len(self._waiting):
                self._waiting.clear()
            else:
                for number in list(islice(self._waiting, self._joined)):
                    del self._waiting[number]
        self._begun = memoryview(piece)[size_bytes:] if size_bytes < len(piece) else b""
        self.waiting_bytes -= size_bytes

    def clear(self) -> None:
        """The stream has ended: nothing of this will be sent."""
        self._waiting.clear()
        self._begun = b""
        self.waiting_bytes = 0
