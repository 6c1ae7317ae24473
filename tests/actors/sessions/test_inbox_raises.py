"""`Inbox` and what its handlers raise: whatever it is, the transport ends with 1011, and the next callback runs."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.sessions.inbox_stage import Gate, NotedShard, made, turn
from tests.support.shards.eager_tasks import eager_tasks
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.values.frame import Frame
from wspulse.actors.wire.frames import TEXT


class Outcome(BaseException):
    """As what pytest.fail() raises, and a panic of a Rust extension."""


ERRORS = [LookupError, asyncio.CancelledError, SystemExit, KeyboardInterrupt, GeneratorExit, Outcome]


def sync(error: type[BaseException]) -> Callable[..., Any]:
    def fail(*_: object) -> None:
        raise error

    return fail


def without_giving_way(error: type[BaseException]) -> Callable[..., Any]:
    async def fail(*_: object) -> None:
        raise error

    return fail


def after_giving_way(error: type[BaseException]) -> Callable[..., Any]:
    async def fail(*_: object) -> None:
        await asyncio.sleep(0)
        raise error

    return fail


WAYS = [sync, without_giving_way, after_giving_way]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("way", WAYS)
async def test_on_message_that_raises_anything_ends_its_transport_and_on_disconnect_runs(
    way: Callable[..., Any], error: type[BaseException]
) -> None:
    ends: list[object] = []
    inbox, shard, session = made(on_message=way(error), on_disconnect=lambda *_: ends.append("end"))
    inbox.receive(TEXT, b"one")
    await eventually(lambda: session.failed, "the transport has ended")
    assert [(type(raised), code) for raised, code in session.failed] == [(error, 1011)]
    assert [(kind, type(raised)) for kind, raised in shard.raised] == [("on_message", error)]
    inbox.post("on_disconnect")
    await eventually(lambda: ends and not shard.working, "on_disconnect has run")
    assert shard.finished == [inbox]
    assert session.is_finished


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("way", WAYS)
async def test_callback_that_raises_anything_is_noted_and_those_behind_it_run(
    way: Callable[..., Any], error: type[BaseException]
) -> None:
    handled: list[object] = []
    inbox, shard, session = made(
        on_connect=way(error),
        on_message=lambda _, frame: handled.append(frame.payload),
        on_disconnect=way(error),
    )
    inbox.post("on_connect")
    inbox.receive(TEXT, b"one")
    inbox.post("on_disconnect")
    await eventually(lambda: shard.finished and not shard.working, "all have run")
    assert handled == [b"one"]
    assert [(kind, type(raised)) for kind, raised in shard.raised] == [("on_connect", error), ("on_disconnect", error)]
    assert session.failed == []


@pytest.mark.parametrize("error", ERRORS)
async def test_message_whose_decoding_raises_anything_is_dropped_and_the_next_is_handled(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    handled: list[object] = []
    inbox, shard, _ = made(on_message=lambda _, frame: handled.append(frame.payload))
    with monkeypatch.context() as patch:
        patch.setattr(shard, "decode", sync(error))
        inbox.receive(TEXT, b"one")
    inbox.receive(TEXT, b"two")
    assert (shard.undecodables, handled) == (1, [b"two"])


async def test_result_that_cannot_be_asked_whether_it_is_awaitable_counts_as_raising() -> None:
    class Lazy:
        def __getattr__(self, name: str) -> Any:
            raise LookupError(name)

    inbox, shard, session = made(on_message=lambda *_: Lazy(), on_connect=lambda *_: Lazy())
    inbox.receive(TEXT, b"one")
    inbox.post("on_connect")
    await turn()
    assert [kind for kind, _ in shard.raised] == ["on_message", "on_connect"]
    assert [code for _, code in session.failed] == [1011]


def test_handler_that_is_thrown_away_with_its_loop_has_not_raised() -> None:
    begun: list[tuple[NotedShard, Any]] = []

    async def begin() -> None:
        inbox, shard, _ = made(on_message=Gate())
        inbox.receive(TEXT, b"one")
        await turn()
        begun.append((shard, shard.working[inbox].get_coro()))

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    loop.run_until_complete(begin())
    shard, work = begun.pop()
    work.close()
    assert shard.raised == []
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    gc.collect()


async def test_handlers_in_tasks_that_begin_at_once_leave_no_task_and_keep_their_order() -> None:
    asyncio.get_running_loop().set_task_factory(eager_tasks)
    gate = asyncio.Event()
    handled: list[bytes] = []

    async def handle(_connection: Connection, frame: Frame) -> None:
        if frame.payload == b"wait":
            await gate.wait()
        handled.append(frame.payload)
        if frame.payload == b"raise":
            raise Outcome

    inbox, shard, session = made(on_message=handle, on_disconnect=sync(Outcome))
    inbox.receive(TEXT, b"one")
    assert handled == [b"one"], "it ended inside the read"
    assert shard.working == {}
    for data in (b"wait", b"two", b"raise", b"three"):
        inbox.receive(TEXT, data)
    assert handled == [b"one"]
    gate.set()
    await eventually(lambda: not shard.working, "all have ended")
    assert handled == [b"one", b"wait", b"two", b"raise"]
    assert [code for _, code in session.failed] == [1011]
    inbox.post("on_disconnect")
    await turn()
    assert shard.finished == [inbox]
