"""`ConnectionCounts`: the file in which all workers of a server count connections: the supervisor's end of it.

One per server, made by `Workers`. A worker writes what it counts, and reads what others do (`wspulse.actors.limits.counts`); here
the regions are made, and made empty when their workers have ended, be it by SIGKILL.
"""

from __future__ import annotations

import sys

from wspulse.actors.limits.counts import HEADER_WORDS, REGION_WORDS, words_for
from wspulse.supervisor.host.shared_file import SharedFile

__all__ = ["ConnectionCounts"]

_WORD_BYTES = 8


class ConnectionCounts:
    """See the module."""

    def __init__(self) -> None:
        self.file = SharedFile()
        self._seats = 0

    def open(self, seat: int) -> None:
        """A worker is about to be started at this seat."""
        self.clear(seat)
        if seat >= self._seats:
            self._seats = seat + 1
            self.file.write(0, self._seats.to_bytes(_WORD_BYTES, sys.byteorder))

    def clear(self, seat: int) -> None:
        """Whoever was there has ended, and its connections with it."""
        first = HEADER_WORDS + seat * REGION_WORDS
        self.file.clear(first * _WORD_BYTES, (words_for(seat + 1) - first) * _WORD_BYTES)

    def close(self) -> None:
        self.file.close()
