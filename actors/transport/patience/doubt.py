"""`Doubt`: whether a peer that left a ping unanswered is to blame for it. No I/O; the kernel's figures are passed in.

Made by a heartbeat when the time of a ping is over. The answer may have arrived and not been read yet, and the ping itself may
still lie behind megabytes in the kernel's buffers, for a peer that takes them slowly: neither is its fault.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["LOOK_S", "Doubt", "Verdict"]

LOOK_S = 0.1
"""Between two looks."""

_FAR_BYTES = 64 * 1024
"""A ping that has less than this before it has reached its peer in time: at 2 KB/s it takes half a minute."""


class Verdict(Enum):
    WAIT = "look again in a moment"
    BEGIN_ANEW = "the ping can only have reached its peer by now"
    CONDEMN = "the peer does not answer"


class Doubt:
    """About one ping, from `now` on. Bytes of the peer that we have not read are waited for `pong_wait_s` more at most; those for
    it are the business of `write_wait_s`, as for a peer to whom nothing more can be written."""

    __slots__ = ("_moved_at", "_read_until", "_taken_bytes", "_was_far", "_write_wait_s")

    def __init__(self, now: float, pong_wait_s: float, write_wait_s: float) -> None:
        self._read_until = now + pong_wait_s
        self._write_wait_s = write_wait_s
        self._moved_at = now
        self._taken_bytes: int | None = None
        self._was_far = False

    def stood(self, seconds: float) -> None:
        """The clock of pongs has stood for so long."""
        self._read_until += seconds
        self._moved_at += seconds

    def look(self, now: float, unread_bytes: int, untaken_bytes: int, taken_bytes: int) -> Verdict:
        """`unread_bytes` are the peer's that were not handled yet, `untaken_bytes` those for it that it has not taken;
        `taken_bytes` rise with what it takes."""
        if unread_bytes and now < self._read_until:
            return Verdict.WAIT
        if untaken_bytes >= _FAR_BYTES:
            self._was_far = True
            if self._taken_bytes is None or taken_bytes > self._taken_bytes:
                self._moved_at = now
            self._taken_bytes = taken_bytes
            return Verdict.WAIT if now < self._moved_at + self._write_wait_s else Verdict.CONDEMN
        return Verdict.BEGIN_ANEW if self._was_far else Verdict.CONDEMN
