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
from wspulse.supervisor.cluster.hosts.clocks import clock

AHEAD_S = 1000.0
"""The asker's clock, of this one."""


def question(payload: bytes = b"kick", left_s: float = 0.01, age_s: float = 0.0, way_s: float = 0.0) -> Question:
    """As it comes when it was `way_s` on its way."""
    return Question(len(payload), left_s, payload, clock() - way_s + AHEAD_S, age_s)


def again() -> Question:
    return question(age_s=0.001)


def word(left_s: float = 5.0, payload: bytes = b"kick") -> QuestionPiece:
    """What an asker says that still waits."""
    return QuestionPiece(0, payload, left_s, clock() + AHEAD_S)


class Stage:
    """What was worked out, for how long its asker waits, and what was told to askers."""

    def __init__(self) -> None:
        self.done: list[bytes] = []
        self.left_s: list[float] = []
        self.told: list[ToAsker] = []
        self.answering = Answering(self._answer, self._send, lambda: 1000)

    async def _answer(self, payload: bytes, left_s: float) -> bytes:
        self.done.append(payload)
        self.left_s.append(left_s)
        return b"done"

    async def _send(self, _reply: str, message: ToAsker) -> None:
        self.told.append(message)

    async def take(self, message: Question | QuestionPiece, reply: str = "asker.1") -> None:
        """And what follows from it at once."""
        await self.answering.take(reply, message)
        for _ in range(5):
            await asyncio.sleep(0)

    async def know(self) -> None:
        """Of the asker: it has answered before."""
        await self.take(question(b"known"), "asker.0")
        await self.take(word(payload=b"known"), "asker.0")
        self.done.clear()
        self.left_s.clear()
        self.told.clear()

    async def forget(self) -> None:
        """What has been done, as after a while."""
        await asyncio.sleep(0.02)
        await self.take(question(b""), "asker.2")
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
        await stage.know()
        await stage.take(question())
        await stage.forget()
        stage.told.clear()
        await stage.take(again())
        assert stage.done == [b"kick", b""]
        assert stage.told == [QuestionWanted(0)], "its asker waits no more, and says nothing"


async def test_question_that_was_lost_at_first_is_done_when_its_asker_still_waits() -> None:
    async with staged() as stage:
        await stage.take(again())
        assert stage.done == []
        await stage.take(word())
        assert stage.done == [b"kick"]
        assert stage.told == [QuestionWanted(0), AnswerPiece(4, 0, b"done")]


async def test_first_of_it_that_comes_last_is_not_done_again() -> None:
    async with staged() as stage:
        await stage.take(again())
        await stage.take(word())
        await stage.forget()
        await stage.take(question())
        assert stage.done == [b"kick", b""]


async def test_what_the_gateway_before_may_have_done_is_refused() -> None:
    async with staged() as stage:
        await stage.take(question(left_s=5.0, age_s=60.0))
        assert stage.done == []
        (told,) = stage.told
        assert isinstance(told, Failed)
        assert "started anew" in told.text


async def test_question_is_done_at_once_when_its_asker_is_known_and_given_the_time_that_is_left() -> None:
    async with staged() as stage:
        await stage.know()
        await stage.take(question(left_s=5.0, way_s=0.5))
        assert stage.done == [b"kick"]
        assert 3.9 < stage.left_s[0] < 4.51, (
            "what it was on its way is taken off, and the way on which its asker was known"
        )


@pytest.mark.parametrize("is_known", [False, True])
async def test_question_that_may_have_been_held_up_is_done_when_its_asker_still_waits(is_known: bool) -> None:
    async with staged() as stage:
        if is_known:
            await stage.know()
        await stage.take(question(left_s=5.0, way_s=2.0))
        assert (stage.done, stage.told) == ([], [QuestionWanted(0)])
        await stage.take(word(left_s=3.0))
        assert stage.done == [b"kick"]
        assert 2.0 < stage.left_s[0] <= 3.0


async def test_question_whose_asker_says_too_late_that_it_waits_is_not_done() -> None:
    async with staged() as stage:
        await stage.take(question(left_s=5.0))
        await asyncio.sleep(0.02)
        await stage.take(word(left_s=0.01))
        assert stage.done == []
        assert stage.told[-1] == Failed("the question did not arrive in time")


async def test_others_do_not_overtake_one_that_may_have_been_held_up() -> None:
    async with staged() as stage:
        await stage.know()
        await stage.take(question(b"1", left_s=5.0, way_s=2.0), "asker.1")
        await stage.take(question(b"2", left_s=5.0), "asker.2")
        assert stage.done == []
        await stage.take(word(payload=b"1"), "asker.1")
        await stage.take(word(payload=b"2"), "asker.2")
        await stage.take(question(b"3", left_s=5.0), "asker.3")
        assert stage.done == [b"1", b"2", b"3"]


async def test_question_that_was_given_up_is_new_when_it_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SILENT_S", 0.01)
    async with staged() as stage:
        await stage.take(question(left_s=3600.0))
        await asyncio.sleep(0.05)
        assert not stage.answering._jobs
        assert not stage.answering._doubtful
        await stage.take(question(left_s=3600.0, age_s=0.001))
        await stage.take(word(left_s=3600.0))
        assert stage.done == [b"kick"]


async def test_empty_question_is_asked_for_too() -> None:
    async with staged() as stage:
        await stage.take(question(b"", left_s=5.0))
        assert stage.done == []
        await stage.take(word(payload=b""))
        assert stage.done == [b""]
