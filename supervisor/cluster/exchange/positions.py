"""`Positions`: how far each bucket has certainly come on this host, in a file that outlives the gateway.

The gateway owns it. A position is written one to two seconds late: what was given to the sockets when a gateway is killed may not
have left it. The next gateway begins there, and the workers drop what they had. A worker that stands still for longer than that
when its gateway dies misses what waited for it there: it sees the gap. One file for one life of the supervisor: the
workers of another have joined nothing yet.
"""

from __future__ import annotations

import mmap
import os

from wspulse.actors.bus.cluster.buckets import BUCKETS

__all__ = ["Positions"]

_BYTES = 8 * BUCKETS


class Positions:
    """See the module. Raises OSError where the file cannot be made."""

    def __init__(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size != _BYTES:
                os.ftruncate(descriptor, 0)
                os.ftruncate(descriptor, _BYTES)
            self._pages = mmap.mmap(descriptor, _BYTES)
        finally:
            os.close(descriptor)
        self._written = memoryview(self._pages).cast("Q")
        """One more than each position; 0 for none."""
        self._recent: dict[int, int] = {}
        self._older: dict[int, int] = {}
        self._first = {bucket: written - 1 for bucket, written in enumerate(self._written) if written}
        """What an earlier gateway has left: it stays in the file until its workers are back. Not all are when this gateway goes
        the way of that."""

    def close(self) -> None:
        self._written.release()
        self._pages.close()

    def of(self, bucket: int) -> int | None:
        """Behind which sequence a worker that may have missed something is to get the bucket's messages again; None for a bucket
        of which nothing was wanted before."""
        if (first := self._first.get(bucket)) is not None:
            return first
        written = self._written[bucket]
        return written - 1 if written else None

    def begin(self, bucket: int, sequence: int) -> None:
        """Nobody here wants anything before that. It holds at once: who joins a room now is to miss nothing."""
        if not self._written[bucket]:
            self._written[bucket] = sequence + 1

    def note(self, bucket: int, sequence: int) -> None:
        """The bucket has come so far."""
        self._recent[bucket] = sequence

    def rewound(self, bucket: int) -> None:
        """What was noted of it has not reached everybody."""
        self._recent.pop(bucket, None)
        self._older.pop(bucket, None)

    def forget(self, bucket: int) -> None:
        """Nobody here wants it any more."""
        for known in (self._recent, self._older, self._first):
            known.pop(bucket, None)
        self._written[bucket] = 0

    def forget_first(self) -> dict[int, int]:
        """Who was there under the earlier gateway is back. Returns what that had left."""
        first, self._first = self._first, {}
        return first

    def write(self) -> None:
        """Write what was noted before the last call; called once a second."""
        for bucket, sequence in self._older.items():
            if bucket not in self._first:
                self._written[bucket] = sequence + 1
        self._older, self._recent = self._recent, {}
