"""`Answering`: a host's answers to the questions of others, each worked out once, however often it arrives. Of `HostCalls`.

None is begun when its asker does not wait any more, whatever held it up on its way or here. Where that is not sure the asker is
asked for the question: whoever has given up says nothing.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import nullcontext

from wspulse.supervisor.cluster.hosts.call_wire import (
    MAX_BYTES,
    AnswerPiece,
    AnswerWanted,
    Failed,
    Hail,
    Incoming,
    Present,
    Question,
    QuestionPiece,
    QuestionWanted,
    ToAsker,
    ToHost,
)
from wspulse.supervisor.cluster.hosts.clocks import Clocks, clock

__all__ = ["Answering"]

_logger = logging.getLogger("wspulse.supervisor")

_AT_ONCE = 10_000
"""Questions that are being answered. More than that are refused."""

_LARGE_AT_ONCE = 4
"""Those of which more than the first piece is fetched."""

_REMEMBERED = 65_536
_KEPT_BYTES = 4 * MAX_BYTES
_LATE_S = 5.0
"""What was sent in time may arrive this much later."""

_LATEST_S = 120.0
"""On a connection that is cut off and not closed, what was sent first may arrive so much later."""


_SILENT_S = 10.0
"""An asker that does not send its question for so long waits no more, or asks again."""

_LONGEST_WAY_S = 1.0
"""Of a question that is taken at its word."""


class _Job:
    """One question. What was answered is kept for as long as it may be asked for again."""

    def __init__(self, question: Question, until: float, sent: float, *, is_sure: bool) -> None:
        """`sent`: it was sent then, or later. Where it is not sure that its asker waits, it is asked for all of it."""
        self.until = until
        self.deadline = sent + question.left_s
        """Its asker waits until then, or longer."""
        self.incoming = Incoming(question.size, question.piece if is_sure else None)
        self.wanted = (-1, 0.0)
        """The piece that was asked for, by its offset, and when it was first."""
        self.answer: bytes | Failed | None = None

    @property
    def kept_bytes(self) -> int:
        return len(self.answer) if isinstance(self.answer, bytes) else 0


class Answering:
    """See the module. `send(reply, message)` sends to whoever has asked."""

    def __init__(
        self,
        answer: Callable[[bytes, float], Awaitable[bytes]],
        send: Callable[[str, ToAsker], Awaitable[None]],
        piece_bytes: Callable[[], int],
    ) -> None:
        self._answer = answer
        self._send = send
        self._piece_bytes = piece_bytes
        self._jobs: dict[str, _Job] = {}
        self._finished: dict[str, _Job] = {}
        """Of these, those that have an answer, in the order in which they got it."""
        self._asked_back: dict[str, float] = {}
        """Questions that came again when they were not known, by their reply, and until when."""
        self._since = asyncio.get_running_loop().time()
        self._clocks = Clocks()
        self._doubtful = Counter[str]()
        """By asker, how many questions it is asked for that may have been too long on their way."""
        self._kept_bytes = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)

    async def close(self) -> None:
        """What is being worked out is cancelled."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def take(self, reply: str, message: ToHost) -> None:
        """A message of an asker. Its question is answered in a task of its own; they begin in the order in which they come."""
        job = self._jobs.get(reply)
        match message:
            case Hail():
                await self._send(reply, Present())
            case Question() if job is None and reply not in self._asked_back:
                await self._begin(reply, message)
            case Question() if job is not None:
                await self._tell(reply, job)
            case QuestionPiece(offset, piece, left_s, sent_at) if job is not None:
                if offset == job.wanted[0]:
                    self._clocks.confirm(_asker(reply), sent_at, job.wanted[1])
                    job.deadline = max(job.deadline, job.wanted[1] + left_s)
                job.incoming.take(offset, piece)
            case AnswerWanted(offset) if job is not None:
                if offset and offset == job.kept_bytes:
                    self._drop(job)
                else:
                    await self._tell(reply, job, offset)

    async def _begin(self, reply: str, question: Question) -> None:
        if question.size > MAX_BYTES:
            await self._send(reply, Failed(f"a question of {question.size} bytes; allowed: up to {MAX_BYTES}"))
            return
        if len(self._tasks) >= _AT_ONCE:
            await self._send(reply, Failed(f"too busy: {_AT_ONCE} questions are being answered"))
            return
        now = asyncio.get_running_loop().time()
        self._forget(now)
        if question.age_s:
            # It may have been done, and forgotten: whoever still waits for it is asked for it.
            if now - self._since < question.age_s:
                await self._send(reply, Failed("its gateway has been started anew, and may have done it before"))
                return
            self._asked_back[reply] = now + _LATEST_S
        asker = _asker(reply)
        sent = self._clocks.earliest(asker, question.sent_at)
        # Others of that asker do not overtake those that it is asked for.
        is_sure = (
            not question.age_s and sent is not None and clock() < sent + _LONGEST_WAY_S and not self._doubtful[asker]
        )
        until = now + question.left_s + _LATE_S
        job = self._jobs[reply] = _Job(question, until, -math.inf if sent is None else sent, is_sure=is_sure)
        if not is_sure:
            self._doubtful[asker] += 1
        task = asyncio.create_task(self._work(reply, job, question.left_s, asker if not is_sure else None))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, reply: str, job: _Job, left_s: float, doubtful: str | None) -> None:
        try:
            is_here = await self._fetch(reply, job, left_s)
        finally:
            if doubtful is not None:
                self._doubtful[doubtful] -= 1
                if not self._doubtful[doubtful]:
                    del self._doubtful[doubtful]
        if not is_here:
            # It was never begun: should it come again, it is new.
            del self._jobs[reply]
            self._asked_back.pop(reply, None)
            return
        job.answer = await self._answered(bytes(job.incoming.bytes), job.deadline - clock())
        job.incoming = Incoming(0, b"")
        self._finished[reply] = job
        self._kept_bytes += job.kept_bytes
        await self._tell(reply, job)

    async def _fetch(self, reply: str, job: _Job, left_s: float) -> bool:
        """What is not here of a question; whether all of it came."""

        async def want(offset: int) -> None:
            if offset != job.wanted[0]:
                job.wanted = (offset, clock())
            await self._send(reply, QuestionWanted(offset))

        if job.incoming.is_complete:
            return True
        is_large = job.incoming.size > self._piece_bytes()
        try:
            async with asyncio.timeout(left_s if is_large else min(left_s, _SILENT_S)):
                async with self._large if is_large else nullcontext():
                    await job.incoming.complete(want)
        except TimeoutError:
            return False
        return True

    async def _answered(self, payload: bytes, left_s: float) -> bytes | Failed:
        if left_s <= 0:
            return Failed("the question did not arrive in time")
        try:
            answer = await self._answer(payload, left_s)
        except Exception as error:  # what goes wrong there is theirs, and told to the asker
            _logger.exception("a question of another host was not answered")
            return Failed(f"{type(error).__name__}: {error}")
        if len(answer) > MAX_BYTES:
            return Failed(f"an answer of {len(answer)} bytes; allowed: up to {MAX_BYTES}")
        return answer

    async def _tell(self, reply: str, job: _Job, offset: int = 0) -> None:
        if job.answer is None:
            await self._send(reply, Present())
        elif isinstance(job.answer, Failed):
            await self._send(reply, job.answer)
        else:
            piece = job.answer[offset : offset + self._piece_bytes()]
            await self._send(reply, AnswerPiece(len(job.answer), offset, piece))

    def _drop(self, job: _Job) -> None:
        self._kept_bytes -= job.kept_bytes
        job.answer = Failed("the answer is not kept any more")

    def _forget(self, now: float) -> None:
        """What nobody can ask for any more; and the oldest of too much. What is being answered stays: it would be done twice."""
        asked_back = self._asked_back
        while asked_back and (len(asked_back) >= _REMEMBERED or next(iter(asked_back.values())) < now):
            del asked_back[next(iter(asked_back))]
        finished = self._finished
        while finished and (len(finished) >= _REMEMBERED or next(iter(finished.values())).until < now):
            reply = next(iter(finished))
            self._kept_bytes -= finished.pop(reply).kept_bytes
            del self._jobs[reply]
        if self._kept_bytes > _KEPT_BYTES:
            for job in finished.values():
                if job.kept_bytes:
                    self._drop(job)
                if self._kept_bytes <= _KEPT_BYTES:
                    break


def _asker(reply: str) -> str:
    return reply.rpartition(".")[0]
