"""`Reader`: what the leaders of the streams have, message by message.

By the stream's own API and not by direct get, which a follower that lags behind may answer. It waits while NATS is away: whoever
asks has a deadline, or is cancelled when the bucket is no longer wanted.
"""

from __future__ import annotations

import asyncio

import msgspec
from nats.aio.client import Client

from wspulse.supervisor.cluster.asking import ask
from wspulse.supervisor.cluster.feed.chain import Stored
from wspulse.supervisor.cluster.feed.names import PARTITIONS, Names
from wspulse.supervisor.cluster.feed.parts import read_stored
from wspulse.supervisor.cluster.feed.streams import API, APIError, Streams

__all__ = ["ANEW", "MissingError", "Reader"]

_AT_ONCE = 32
"""Questions: each is some 300 µs of a server's time, and thousands of buckets may ask after a reconnect."""
_ANSWER_S = 2.0
_AGAIN_S = 0.2
_NO_MESSAGE = 10037

ANEW = "/anew"
"""Behind the id of a message that was stored below sequences which were given before, and is stored once more."""


class MissingError(Exception):
    """The stream no longer has all that was asked for. `first` is the first sequence from which on it has whole messages."""

    def __init__(self, first: int) -> None:
        super().__init__(f"the stream begins at {first}")
        self.first = first


class _Message(msgspec.Struct):
    seq: int
    hdrs: bytes = b""
    data: bytes = b""


class _Answer(msgspec.Struct):
    message: _Message | None = None
    error: APIError | None = None


_answer = msgspec.json.Decoder(_Answer)


class Reader:
    """See the module."""

    def __init__(self, client: Client, names: Names, streams: Streams) -> None:
        self._client = client
        self._names = names
        self._streams = streams
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def next(self, bucket: int, after: int) -> Stored | None:
        """The bucket's first message behind `after`; None: the leader has none."""
        return await self._get(bucket, _next(self._names.stored(bucket), after))

    async def find(self, bucket: int, message_id: str, after: int) -> tuple[int | None, bool]:
        """The sequence of a message that was published with this id behind `after`; and whether the stream still has all that was
        stored since then."""
        found = None
        wanted = f"\r\nNats-Msg-Id: {message_id}\r\n".encode()
        position = after
        while (message := await self._message(bucket, _next(self._names.stored(bucket), position))) is not None:
            position = message.seq
            if wanted in message.hdrs.replace(ANEW.encode(), b""):
                found = position
        return found, await self._first(bucket % PARTITIONS) <= after + 1

    async def parts(self, bucket: int, sequences: list[int]) -> dict[int, bytes]:
        """Those that the leader still has."""
        found = {}
        for sequence in sequences:
            if (stored := await self._get(bucket, {"seq": sequence})) is not None:
                found[sequence] = stored.data
        return found

    async def range(self, bucket: int, after: int, upto: int) -> list[tuple[int, bytes]]:
        """Whole messages behind `after`, up to `upto`. Raises MissingError."""
        found: list[tuple[int, bytes]] = []
        pieces: dict[int, bytes] = {}
        whole_after = after
        position = after
        while (stored := await self.next(bucket, position)) is not None and stored.sequence <= upto:
            position = stored.sequence
            if stored.is_part:
                pieces[position] = stored.data
                continue
            missing = [part for part in stored.parts if part not in pieces]
            pieces |= await self.parts(bucket, missing)
            if not all(part in pieces for part in stored.parts):
                whole_after = position
            found.append((position, b"".join([*(pieces.pop(part, b"") for part in stored.parts), stored.data])))
        first = max(await self._first(bucket % PARTITIONS), whole_after + 1)
        if first > after + 1:
            raise MissingError(first)
        return found

    async def _first(self, partition: int) -> int:
        """Asked behind the messages: it may have forgotten some meanwhile."""
        while True:
            info = await self._streams.info(partition)
            if info is not None and info.is_led:
                return info.state.first_seq
            await asyncio.sleep(_AGAIN_S)

    async def _get(self, bucket: int, question: dict[str, object]) -> Stored | None:
        message = await self._message(bucket, question)
        return None if message is None else read_stored(message.seq, message.data, message.hdrs)

    async def _message(self, bucket: int, question: dict[str, object]) -> _Message | None:
        subject = f"{API}.STREAM.MSG.GET.{self._names.stream(bucket % PARTITIONS)}"
        payload = msgspec.json.encode(question)
        while True:
            if self._client.is_connected:
                async with self._turn:
                    data = await ask(self._client, subject, payload, _ANSWER_S)
                answer = _Answer() if data is None else _answer.decode(data)
                if answer.message is not None:
                    return answer.message
                if answer.error is not None and answer.error.err_code == _NO_MESSAGE:
                    return None
            await asyncio.sleep(_AGAIN_S)


def _next(subject: str, after: int) -> dict[str, object]:
    return {"seq": after + 1, "next_by_subj": subject}
