"""`Receipts`: how a link learns that a descriptor which it handed over has arrived, without being woken for it.

Made by a `ShardLink` for each stream over which it hands over. A receipt is due before the client can be answered, since a
sender without one sends the descriptor to the shard's replacement; but the sender only closes its copy on it, which can wait
some milliseconds. So receipts are numbers in a pipe: whoever takes a descriptor writes one (`write_receipt`), which costs a
system call and wakes nobody, and the link reads what is there when it has a reason or a timer. What a shard wrote before it
died stays readable. (An envelope on the stream instead wakes the sender's loop for each handover.)
"""

from __future__ import annotations

import os
from struct import Struct, iter_unpack

__all__ = ["Receipts", "write_receipt"]

_NUMBER = "!Q"
_pack = Struct(_NUMBER).pack

_READ_BYTES = 64 * 1024
"""What a pipe of Linux holds; the rest of a larger one comes with the next read."""


class Receipts:
    """The reading end of a pipe, and the writing one for as long as it has to be sent."""

    __slots__ = ("_reader", "writer")

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self.writer, False)

    def read(self) -> list[int]:
        """The numbers of the handovers that were taken since the last time."""
        numbers: list[int] = []
        while True:
            try:
                data = os.read(self._reader, _READ_BYTES)
            except BlockingIOError:
                return numbers
            numbers += [number for (number,) in iter_unpack(_NUMBER, data)]
            if len(data) < _READ_BYTES:
                return numbers

    def close(self) -> None:
        os.close(self._reader)
        os.close(self.writer)


def write_receipt(writer: int, number: int) -> bool:
    """Say that a handover was taken. False where it cannot be said: its sender is gone, or has left very many unread.

    Within this call the receipt is with the kernel, whole or not at all (a pipe takes so few bytes at once).
    """
    try:
        os.write(writer, _pack(number))
    except OSError:
        return False
    return True
