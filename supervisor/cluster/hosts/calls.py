"""`HostCalls`: questions from one host's gateway to another's, over core NATS. One for each gateway."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from wspulse.supervisor.cluster.hosts.answering import Answering
from wspulse.supervisor.cluster.hosts.call_wire import (
    AGAIN_S,
    MAX_BYTES,
    AnswerPiece,
    AnswerWanted,
    Failed,
    Hail,
    Incoming,
    Question,
    QuestionPiece,
    QuestionWanted,
    ToAsker,
    ToHost,
    host_subject,
    piece_bytes,
)
from wspulse.supervisor.cluster.hosts.clocks import clock
from wspulse.supervisor.cluster.hosts.errors import HostCallError, HostError, HostGoneError, HostTimeoutError
from wspulse.supervisor.cluster.hosts.records import HostInfo

__all__ = ["HostCalls"]

_logger = logging.getLogger("wspulse.supervisor")

_SILENCE_S = 1.0
"""In a question to all, a host that shows no sign of life for this time is left out."""

_HEARD_OF_WITHIN_S = 1.0
"""NATS servers tell each other of a new host's subject; until all know it, some say that nobody is there."""

_NOBODY_AGAIN_S = 0.05

_REMEMBERED_AS_GONE = 1000

_LARGE_AT_ONCE = 4
"""Answers of which more than the first piece is fetched."""

_to_host = msgspec.msgpack.Decoder(ToHost)
_to_asker = msgspec.msgpack.Decoder(ToAsker)
_encode = msgspec.msgpack.Encoder().encode


class _Asked:
    """A question that waits for its answer, of a host under a life."""

    def __init__(self, host: str, life: int, payload: bytes, timeout_s: float = 0.0) -> None:
        loop = asyncio.get_running_loop()
        self.host = host
        self.life = life
        self.payload = payload
        self._until = clock() + timeout_s
        self.heard_at = loop.time()
        self.heard = asyncio.Event()
        self.answer: asyncio.Future[Incoming] = loop.create_future()

    def question(self, piece: bytes, age_s: float) -> Question:
        now = clock()
        return Question(len(self.payload), self._until - now, piece, now, age_s)

    def piece(self, offset: int, size: int) -> QuestionPiece:
        now = clock()
        return QuestionPiece(offset, self.payload[offset : offset + size], self._until - now, now)

    def fail(self, error: HostError) -> None:
        """Before its first piece has come, or after."""
        if not self.answer.done():
            self.answer.set_exception(error)
        elif not self.answer.cancelled() and self.answer.exception() is None:
            self.answer.result().fail(error)

    def take(self, size: int, offset: int, piece: bytes) -> None:
        if not self.answer.done():
            if offset == 0:
                self.answer.set_result(Incoming(size, piece))
        elif not self.answer.cancelled() and self.answer.exception() is None:
            self.answer.result().take(offset, piece)

    def end(self) -> None:
        """Its error is taken note of where nobody waits for it any more."""
        if not self.answer.cancel() and not self.answer.cancelled():
            self.answer.exception()


class HostCalls:
    """See the module. `answer(payload, left_s)` answers what others ask, who wait for so long; what it raises they get as
    HostCallError.

    `hosts` are those that are alive, as `Membership` has them.
    """

    def __init__(
        self,
        client: Client,
        cluster: str,
        me: HostInfo,
        answer: Callable[[bytes, float], Awaitable[bytes]],
        *,
        hosts: Mapping[str, HostInfo],
    ) -> None:
        self._client = client
        self._cluster = cluster
        self._me = me
        self._hosts = hosts
        self._inbox = client.new_inbox()
        self._numbers = itertools.count()
        self._asked: dict[int, _Asked] = {}
        self._known: set[tuple[str, int]] = set()
        """Who has answered before: that nobody is there means then that it is gone."""
        self._nobody_since: dict[tuple[str, int], float] = {}
        """Of the others, since when nobody is there."""
        self._hailed: dict[tuple[str, int], asyncio.Task[None]] = {}
        """Those that were silent, and are left out of questions to all until they are heard."""
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)
        self._answering = Answering(answer, self._reply, self._piece_bytes)
        self._subscriptions: list[Subscription] = []

    async def open(self) -> None:
        """From here on it asks and answers. Before `Membership.join`: who sees this host may ask it."""
        mine = host_subject(self._cluster, self._me.id, self._me.life)
        self._subscriptions = [
            await self._client.subscribe(f"{self._inbox}.*", cb=self._on_answer),
            await self._client.subscribe(mine, cb=self._on_question),
        ]
        await self._client.flush()

    async def close(self) -> None:
        """What is being answered is cancelled; whoever asks here ends with HostTimeoutError."""
        for subscription in self._subscriptions:
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()
        hails = list(self._hailed.values())
        for task in hails:
            task.cancel()
        await asyncio.gather(*hails, return_exceptions=True)
        await self._answering.close()
        for asked in list(self._asked.values()):
            asked.fail(HostTimeoutError(asked.host))

    async def ask(self, host: str, life: int, payload: bytes, *, timeout_s: float) -> bytes:
        """The answer of a host; up to 64 MiB, as `payload`. It works it out at most once, and does not begin when `timeout_s` is
        over. Two questions that are under way at once may be answered in either order.

        HostGoneError at once where nobody answers for that host under this life; HostTimeoutError; HostCallError with what
        went wrong there. ValueError: `payload` is too large.
        """
        return await self._ask(host, life, payload, timeout_s, silence_s=math.inf)

    async def ask_all(self, payload: bytes, *, timeout_s: float) -> dict[str, bytes]:
        """The answers of all other live hosts, by id, asked side by side. One that fails is left out; so is one that does not
        respond, after a second, and from then on at once until it does again."""
        others = [info for info in self._hosts.values() if info.id != self._me.id]
        asked = [info for info in others if (info.id, info.life) not in self._hailed]
        silence_s = min(_SILENCE_S, timeout_s)
        answers = await asyncio.gather(
            *[self._ask(info.id, info.life, payload, timeout_s, silence_s) for info in asked], return_exceptions=True
        )
        found = {}
        for info, answer in zip(asked, answers, strict=True):
            if isinstance(answer, bytes):
                found[info.id] = answer
            elif isinstance(answer, HostError):
                _logger.info("a host is left out", extra={"host": info.id, "reason": answer.text})
            else:
                raise answer
        return found

    async def _ask(self, host: str, life: int, payload: bytes, timeout_s: float, silence_s: float) -> bytes:
        if len(payload) > MAX_BYTES:
            raise ValueError(f"wspulse: a question of {len(payload)} bytes; allowed: up to {MAX_BYTES}")
        number = next(self._numbers)
        asked = self._asked[number] = _Asked(host, life, payload, timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                incoming = await self._first_piece(number, asked, silence_s)
                if incoming.is_complete:
                    return bytes(incoming.bytes)
                return await self._rest(number, asked, incoming)
        except TimeoutError:
            raise HostTimeoutError(host) from None
        finally:
            del self._asked[number]
            asked.end()

    async def _first_piece(self, number: int, asked: _Asked, silence_s: float) -> Incoming:
        """Ask, again and again: what is lost is not told."""
        loop = asyncio.get_running_loop()
        first_at: float | None = None
        """Of those that somebody may have got."""
        size = len(asked.payload)
        piece = asked.payload[: self._piece_bytes()]
        while True:
            now = loop.time()
            await self._send(number, asked, asked.question(piece, 0.0 if first_at is None else now - first_at))
            is_first, first_at = first_at is None, now if first_at is None else first_at
            done, _ = await asyncio.wait({asked.answer}, timeout=min(AGAIN_S, silence_s))
            if not done:
                if loop.time() - asked.heard_at >= silence_s:
                    self._hail(asked.host, asked.life)
                    raise HostTimeoutError(asked.host)
                piece = piece if len(piece) == size else b""
                continue
            try:
                return asked.answer.result()
            except HostGoneError:
                if self._is_gone(asked.host, asked.life, loop.time()):
                    raise
            if is_first:
                first_at = None
            asked.answer = loop.create_future()
            await asyncio.sleep(_NOBODY_AGAIN_S)

    def _is_gone(self, host: str, life: int, now: float) -> bool:
        """Nobody is there, as NATS says; or it has not heard of it everywhere."""
        if (host, life) in self._known:
            return True
        if len(self._nobody_since) > _REMEMBERED_AS_GONE:
            self._nobody_since.clear()
        return now - self._nobody_since.setdefault((host, life), now) > _HEARD_OF_WITHIN_S

    async def _rest(self, number: int, asked: _Asked, incoming: Incoming) -> bytes:
        async with self._large:
            answer = await incoming.complete(lambda offset: self._send(number, asked, AnswerWanted(offset)))
        await self._send(number, asked, AnswerWanted(incoming.size))
        return answer

    def _hail(self, host: str, life: int) -> None:
        if (host, life) not in self._hailed:
            self._hailed[host, life] = asyncio.create_task(self._until_heard(host, life), name="hail of a silent host")

    async def _until_heard(self, host: str, life: int) -> None:
        """While it is a member."""
        number = next(self._numbers)
        asked = self._asked[number] = _Asked(host, life, b"")
        try:
            while (info := self._hosts.get(host)) is not None and info.life == life:
                await self._send(number, asked, Hail())
                with suppress(TimeoutError):
                    async with asyncio.timeout(AGAIN_S):
                        await asked.heard.wait()
                    return
        finally:
            del self._asked[number]
            asked.end()
            del self._hailed[host, life]

    async def _on_answer(self, message: Msg) -> None:
        asked = self._asked.get(int(message.subject.rpartition(".")[2]))
        if asked is None:
            return
        if message.headers and "Status" in message.headers:  # NATS knows nobody who listens there
            asked.fail(HostGoneError(asked.host))
            return
        if (asked.host, asked.life) not in self._known:
            alive = {(info.id, info.life) for info in self._hosts.values()}
            self._known = (self._known & alive) | {(asked.host, asked.life)}
            self._nobody_since.pop((asked.host, asked.life), None)
        asked.heard_at = asyncio.get_running_loop().time()
        asked.heard.set()
        match _to_asker.decode(message.data):
            case QuestionWanted(offset):
                number = int(message.subject.rpartition(".")[2])
                await self._send(number, asked, asked.piece(offset, self._piece_bytes()))
            case AnswerPiece(size, offset, piece):
                asked.take(size, offset, piece)
            case Failed(text):
                asked.fail(HostCallError(asked.host, text))

    async def _on_question(self, message: Msg) -> None:
        await self._answering.take(message.reply, _to_host.decode(message.data))

    async def _send(self, number: int, asked: _Asked, message: ToHost) -> None:
        subject = host_subject(self._cluster, asked.host, asked.life)
        await self._publish(subject, message, f"{self._inbox}.{number}")

    async def _reply(self, reply: str, message: ToAsker) -> None:
        await self._publish(reply, message, "")

    async def _publish(self, subject: str, message: ToHost | ToAsker, reply: str) -> None:
        if self._client.is_connected:  # else it would go out when nobody waits for it any more
            with suppress(nats.errors.Error):
                await self._client.publish(subject, _encode(message), reply=reply)

    def _piece_bytes(self) -> int:
        return piece_bytes(self._client.max_payload)
