"""`Answering`: a host's answers to the questions of others, each worked out once, however often it arrives. Of `HostCalls`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import nullcontext

import msgspec

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


class _Job:
    """One question. What was answered is kept for as long as it may be asked for again."""

    def __init__(self, question: Question, until: float) -> None:
        self.until = until
        self.incoming = Incoming(question.size, question.piece)
        self.answer: bytes | Failed | None = None

    @property
    def kept_bytes(self) -> int:
        return len(self.answer) if isinstance(self.answer, bytes) else 0


class Answering:
    """See the module. `send(reply, message)` sends to whoever has asked."""

    def __init__(
        self,
        answer: Callable[[bytes], Awaitable[bytes]],
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
            case QuestionPiece(offset, piece) if job is not None:
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
            question = msgspec.structs.replace(question, piece=b"")
        job = self._jobs[reply] = _Job(question, now + question.timeout_s + _LATE_S)
        task = asyncio.create_task(self._work(reply, job, question.timeout_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, reply: str, job: _Job, timeout_s: float) -> None:
        try:
            if len(job.incoming.bytes) == job.incoming.size:
                payload = bytes(job.incoming.bytes)
            else:
                is_large = job.incoming.size > self._piece_bytes()
                async with asyncio.timeout(timeout_s), self._large if is_large else nullcontext():
                    payload = await job.incoming.complete(lambda offset: self._send(reply, QuestionWanted(offset)))
        except TimeoutError:
            job.answer = Failed("the question did not arrive in time")
            self._finished[reply] = job
            return
        job.incoming = Incoming(0, b"")
        try:
            job.answer = await self._answer(payload)
            if len(job.answer) > MAX_BYTES:
                job.answer = Failed(f"an answer of {len(job.answer)} bytes; allowed: up to {MAX_BYTES}")
        except Exception as error:  # what goes wrong there is theirs, and told to the asker
            _logger.exception("a question of another host was not answered")
            job.answer = Failed(f"{type(error).__name__}: {error}")
        self._finished[reply] = job
        self._kept_bytes += job.kept_bytes
        await self._tell(reply, job)

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
