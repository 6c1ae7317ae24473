"""`Answering`: each question is worked out once, though it may come late, when it was forgotten, or to another gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from wspulse.supervisor.cluster.hosts import answering as module
from wspulse.supervisor.cluster.hosts.answering import Answering
from wspulse.supervisor.cluster.hosts.call_wire import (
    AnswerPiece,
    Failed,
    Question,
    QuestionPiece,
    QuestionWanted,
    ToAsker,
)

FIRST = Question(4, 0.01, b"kick")
AGAIN = Question(4, 0.01, b"kick", 0.001)


class Stage:
    """What was worked out, and what was told to askers."""

    def __init__(self) -> None:
        self.done: list[bytes] = []
        self.told: list[ToAsker] = []
        self.answering = Answering(self._answer, self._send, lambda: 1000)

    async def _answer(self, payload: bytes) -> bytes:
        self.done.append(payload)
        return b"done"

    async def _send(self, _reply: str, message: ToAsker) -> None:
        self.told.append(message)

    async def take(self, message: Question | QuestionPiece, reply: str = "asker.1") -> None:
        """And what follows from it at once."""
        await self.answering.take(reply, message)
        for _ in range(5):
            await asyncio.sleep(0)

    async def forget(self) -> None:
        """What has been done, as after a while."""
        await asyncio.sleep(0.02)
        await self.take(Question(0, 0.01, b""), "asker.2")
        assert "asker.1" not in self.answering._jobs


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LATE_S", 0.0)


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    made = Stage()
    await asyncio.sleep(0.002)  # it has been there for longer than what comes again
    try:
        yield made
    finally:
        await made.answering.close()


async def test_question_that_comes_again_when_it_is_forgotten_is_not_done_again() -> None:
    async with staged() as stage:
        await stage.take(FIRST)
        await stage.forget()
        stage.told.clear()
        await stage.take(AGAIN)
        assert stage.done == [b"kick", b""]
        assert stage.told == [QuestionWanted(0)], "its asker waits no more, and says nothing"


async def test_question_that_was_lost_at_first_is_done_when_its_asker_still_waits() -> None:
    async with staged() as stage:
        await stage.take(AGAIN)
        assert stage.done == []
        await stage.take(QuestionPiece(0, b"kick"))
        assert stage.done == [b"kick"]
        assert stage.told == [QuestionWanted(0), AnswerPiece(4, 0, b"done")]


async def test_first_of_it_that_comes_last_is_not_done_again() -> None:
    async with staged() as stage:
        await stage.take(AGAIN)
        await stage.take(QuestionPiece(0, b"kick"))
        await stage.forget()
        await stage.take(FIRST)
        assert stage.done == [b"kick", b""]


async def test_what_the_gateway_before_may_have_done_is_refused() -> None:
    async with staged() as stage:
        await stage.take(Question(4, 5.0, b"kick", 60.0))
        assert stage.done == []
        (told,) = stage.told
        assert isinstance(told, Failed)
        assert "started anew" in told.text
