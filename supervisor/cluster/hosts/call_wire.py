"""What hosts send each other for a question and its answer, and `Incoming`: one that travels in pieces.

Core NATS carries it: what may be lost is asked for again, by whoever waits for it. To a host goes `ToHost`, on a subject of that
host and its life; back goes `ToAsker`, on the reply subject, which names the question and is different for each.
What is larger than a message is fetched piece by piece: nobody sends more than the other one has asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec

from wspulse.supervisor.cluster.hosts.records import digest

__all__ = [
    "AGAIN_S",
    "MAX_BYTES",
    "AnswerPiece",
    "AnswerWanted",
    "Failed",
    "Hail",
    "Incoming",
    "Present",
    "Question",
    "QuestionPiece",
    "QuestionWanted",
    "ToAsker",
    "ToHost",
    "host_subject",
    "piece_bytes",
]

MAX_BYTES = 64 * 1024 * 1024
"""Of a question, and of an answer."""

AGAIN_S = 0.5
"""After this time of silence what was sent is sent again."""

_AROUND_A_PIECE_BYTES = 1024


class Hail(msgspec.Struct, tag=0, array_like=True):
    """Is somebody there?"""


class Question(msgspec.Struct, tag=1, array_like=True):
    """Also sent again: one question, by its reply subject, is answered once."""

    size: int
    left_s: float
    """For how long its asker still waits."""
    piece: bytes
    sent_at: float
    """On the asker's clock, as that of `QuestionPiece`."""
    age_s: float = 0.0
    """For how long it may have been there already; 0.0: it has not."""


class QuestionPiece(msgspec.Struct, tag=2, array_like=True):
    offset: int
    piece: bytes
    left_s: float
    sent_at: float


class AnswerWanted(msgspec.Struct, tag=3, array_like=True):
    """From `offset` on. At its end: it has all arrived."""

    offset: int


class Present(msgspec.Struct, tag=0, array_like=True):
    """Somebody is there, and works on the question if there is one."""


class QuestionWanted(msgspec.Struct, tag=1, array_like=True):
    offset: int


class AnswerPiece(msgspec.Struct, tag=2, array_like=True):
    size: int
    offset: int
    piece: bytes


class Failed(msgspec.Struct, tag=3, array_like=True):
    text: str


ToHost = Hail | Question | QuestionPiece | AnswerWanted
ToAsker = Present | QuestionWanted | AnswerPiece | Failed


def host_subject(cluster: str, host: str, life: int) -> str:
    return f"WSPULSE.{cluster}.calls.{digest(host)}.{life}"


def piece_bytes(max_payload: int) -> int:
    return max_payload - _AROUND_A_PIECE_BYTES


class Incoming:
    """A question or an answer of which the first piece, maybe an empty one, has arrived, or (None) is yet to come."""

    def __init__(self, size: int, piece: bytes | None) -> None:
        self.size = size
        self.bytes = bytearray(piece or b"")
        self._has_begun = piece is not None
        self._arrived = asyncio.Event()
        self._error: Exception | None = None

    def take(self, offset: int, piece: bytes) -> None:
        """What was not asked for, or came twice, is left."""
        if offset == len(self.bytes) and len(self.bytes) + len(piece) <= self.size:
            self.bytes += piece
            self._has_begun = True
            self._arrived.set()

    def fail(self, error: Exception) -> None:
        """No more will arrive."""
        self._error = error
        self._arrived.set()

    @property
    def is_complete(self) -> bool:
        return self._has_begun and len(self.bytes) == self.size

    async def complete(self, want: Callable[[int], Awaitable[None]]) -> bytes:
        """All of it, or the error with which it failed. `want(offset)` asks for more. Without an end where nobody sends: the
        caller has a deadline."""
        while not self.is_complete:
            self._arrived.clear()
            await want(len(self.bytes))
            with suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_S):
                    await self._arrived.wait()
            if self._error is not None:
                raise self._error
        return bytes(self.bytes)
