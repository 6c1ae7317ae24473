"""What comes for a session between two processes is answered when it is known where that is: once, in order, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.actors.mesh.test_link import shard_door
from tests.support.eventually import eventually
from wspulse.actors.mesh.actor import LocalRef
from wspulse.actors.mesh.link import ShardLink
from wspulse.actors.mesh.mailbox import Mailbox
from wspulse.actors.mesh.message import Kick, Message, SendFrame
from wspulse.actors.values.errors import InTransitError, SessionMovedError, ShardUnavailableError


class Movable:
    """An actor whose one session is here, between two processes, or gone."""

    def __init__(self) -> None:
        self.state = "in transit"
        self.done: list[bytes] = []
        self.waiting: list[Callable[[], None]] = []
        self.futures: list[asyncio.Future[Any]] = []

    def receive(self, message: Message) -> Any:
        if self.state == "in transit":
            raise InTransitError(self.waiting.append)
        if self.state == "moved":
            raise SessionMovedError(3)
        if isinstance(message, Kick):
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self.futures.append(future)
            return future
        assert isinstance(message, SendFrame)
        self.done.append(message.wire)
        return message.wire

    def is_now(self, state: str) -> None:
        self.state = state
        waiting, self.waiting = self.waiting, []
        for call in waiting:
            call()


@asynccontextmanager
async def movable(tmp_path: Path) -> AsyncIterator[tuple[Movable, ShardLink, Mailbox]]:
    async with shard_door(tmp_path) as (listener, link):
        made = Movable()
        mailbox = Mailbox(listener.dup(), 1, 1, made.receive, lambda _request, _fd: None)
        mailbox.open()
        await eventually(lambda: link.incarnation, "the link is up")
        try:
            yield made, link, mailbox
        finally:
            mailbox.close()


def frame(number: int) -> SendFrame:
    return SendFrame("ada", str(number).encode())


async def asked(made: Movable, ref: Any, numbers: range) -> list[asyncio.Task[Any]]:
    tasks = [asyncio.create_task(ref.ask(frame(number), timeout_s=5)) for number in numbers]
    await eventually(lambda: len(made.waiting) == len(numbers), "all of it waits")
    return tasks


async def test_asks_and_tells_for_a_session_in_transit_are_done_in_order_where_it_stays(tmp_path: Path) -> None:
    async with movable(tmp_path) as (made, link, _):
        for ref in (link, LocalRef(made.receive)):
            made.state = "in transit"
            tasks = await asked(made, ref, range(3))
            ref.tell(frame(3))
            await eventually(lambda: len(made.waiting) == 4, "the tell waits too")
            made.is_now("here")
            assert await asyncio.gather(*tasks) == [b"0", b"1", b"2"]
            assert made.done == [b"0", b"1", b"2", b"3"]
            made.done.clear()


async def test_asks_for_a_session_that_has_left_name_its_seat(tmp_path: Path) -> None:
    async with movable(tmp_path) as (made, link, _):
        for ref in (link, LocalRef(made.receive)):
            made.state = "in transit"
            tasks = await asked(made, ref, range(2))
            ref.tell(frame(2))
            await eventually(lambda: len(made.waiting) == 3, "the tell waits too")
            made.is_now("moved")
            for error in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(error, SessionMovedError)
                assert error.seat == 3
            ref.tell(frame(4))
            with pytest.raises(SessionMovedError):
                await ref.ask(frame(5), timeout_s=5)
            assert made.done == []


async def test_session_that_sets_out_again_has_what_waits_wait_again_in_order(tmp_path: Path) -> None:
    async with movable(tmp_path) as (made, link, _):
        tasks = await asked(made, link, range(3))
        made.is_now("in transit")
        assert len(made.waiting) == 3
        made.is_now("here")
        assert await asyncio.gather(*tasks) == [b"0", b"1", b"2"]


async def test_ask_that_became_too_late_while_it_was_held_is_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with movable(tmp_path) as (made, link, mailbox):
        with pytest.raises(ShardUnavailableError):
            await link.ask(frame(0), timeout_s=0.1)
        assert len(made.waiting) == 1
        made.is_now("here")
        assert made.done == []
        made.state = "in transit"
        local = LocalRef(made.receive)
        with pytest.raises(ShardUnavailableError):
            await local.ask(frame(1), timeout_s=0.02)
        made.is_now("here")
        assert made.done == []
        assert len(mailbox._callers) == 1


async def test_end_of_the_askers_stream_lets_go_of_what_it_had_held(tmp_path: Path) -> None:
    async with movable(tmp_path) as (made, link, mailbox):
        (task,) = await asked(made, link, range(1))
        (stream,) = mailbox._callers
        (held,) = mailbox._callers[stream].asked.values()
        link.close()
        with pytest.raises(ShardUnavailableError):
            await task
        await eventually(held.cancelled, "it is let go")
        made.is_now("here")
        assert made.done == []


async def test_answer_that_comes_later_comes_to_who_was_held_and_its_withdrawal_to_the_actor(tmp_path: Path) -> None:
    async with movable(tmp_path) as (made, link, _):
        for ref in (link, LocalRef(made.receive)):
            made.futures.clear()
            made.state = "in transit"
            tasks = [asyncio.create_task(ref.ask(Kick("ada"), timeout_s=5)) for _ in range(3)]
            await eventually(lambda: len(made.waiting) == 3, "all wait")
            made.is_now("here")
            answered, failed, cancelled = made.futures
            answered.set_result("later")
            failed.set_exception(SessionMovedError(4))
            assert await tasks[0] == "later"
            with pytest.raises(SessionMovedError):
                await tasks[1]
            tasks[2].cancel()
            await eventually(cancelled.cancelled, "the actor need not go on")
