"""What goes back to whoever sent a frame: a handler's value, or the ReplyError that it raised."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.sessions.fake_connection import FakeConnection
from wspulse import Context, EventRouter, Frame, InvalidPayloadError, ReplyError, SendBufferFullError, recovery

FRAME = Frame("add", [1, 2], "7")


def add(context: Context, numbers: list[int]) -> int:
    return sum(numbers)


async def add_later(context: Context, numbers: list[int]) -> int:
    await asyncio.sleep(0)
    return sum(numbers)


def refuse(context: Context) -> None:
    raise ReplyError({"code": "no"})


async def refuse_later(context: Context) -> None:
    await asyncio.sleep(0)
    raise ReplyError({"code": "no"})


def sync_middleware(context: Context) -> object:
    return "nobody's"


async def async_middleware(context: Context) -> object:
    return "nobody's"


async def wrapping_middleware(context: Context) -> object:
    await context.next()
    return "nobody's"


MIDDLEWARE: dict[str, tuple[Callable[[Context], Any], ...]] = {
    "none": (),
    "sync": (sync_middleware,),
    "async": (async_middleware,),
    "wrapping": (wrapping_middleware,),
    "recovery": (recovery(),),
    "all": (recovery(), wrapping_middleware, sync_middleware, async_middleware, wrapping_middleware),
}


async def answers(handler: Callable[..., Any], which: str, frame: Frame = FRAME) -> list[Frame]:
    router = EventRouter()
    for middleware in MIDDLEWARE[which]:
        router.use(middleware)
    router.on(frame.event, handler)
    connection = FakeConnection()
    await router.dispatch(connection, frame)
    return connection.sent


@pytest.mark.parametrize("which", MIDDLEWARE)
@pytest.mark.parametrize("handler", [add, add_later])
async def test_frame_is_answered_once_with_what_its_handler_returns(handler: Any, which: str) -> None:
    assert await answers(handler, which) == [Frame("add", 3, "7")]


@pytest.mark.parametrize("which", MIDDLEWARE)
@pytest.mark.parametrize("handler", [refuse, refuse_later])
async def test_frame_is_answered_with_an_error_when_its_handler_raises_one(
    handler: Any, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert await answers(handler, which) == [Frame("add.error", {"code": "no"}, "7")]
    assert not caplog.records


@pytest.mark.parametrize("value", [0, False, "", [], {}])
async def test_value_that_is_false_is_an_answer_like_any_other(value: object) -> None:
    assert await answers(lambda context: value, "none") == [Frame("add", value, "7")]


@pytest.mark.parametrize("which", MIDDLEWARE)
async def test_frame_is_not_answered_when_its_handler_returns_none(which: str) -> None:
    assert await answers(lambda context: None, which) == []


def test_sync_handler_that_answers_needs_no_task() -> None:
    router = EventRouter()
    router.on("add", add)
    assert router(FakeConnection(), FRAME) is None


@pytest.mark.parametrize("guard", [refuse, refuse_later])
async def test_handler_is_not_run_when_middleware_answers_with_an_error(guard: Any) -> None:
    router = EventRouter()
    router.use(recovery())
    router.use(guard)
    router.on("add", lambda context: pytest.fail("it ran"))
    connection = FakeConnection()
    await router.dispatch(connection, FRAME)
    assert connection.sent == [Frame("add.error", {"code": "no"}, "7")]


@pytest.mark.parametrize("handler", [add, refuse_later])
async def test_answer_to_a_frame_without_an_id_is_a_warning_a_few_times(
    handler: Any, caplog: pytest.LogCaptureFixture
) -> None:
    router = EventRouter()
    router.on("add", handler)
    connection = FakeConnection()
    for _ in range(100):
        await router.dispatch(connection, Frame("add", [1]))
    assert connection.sent == []
    assert {(record.levelname, record.message) for record in caplog.records} == {
        ("WARNING", "a handler answered a frame that has no id; nothing was sent")
    }
    assert len(caplog.records) == 5
    assert vars(caplog.records[0])["event"] == "add"


async def test_handler_of_an_included_router_answers_with_the_whole_name_of_its_event() -> None:
    inner, outer = EventRouter(), EventRouter()
    inner.on("add", add)
    inner.on("refuse", refuse)
    outer.include(inner, "math.")
    connection = FakeConnection()
    await outer.dispatch(connection, Frame("math.add", [1, 2], "7"))
    await outer.dispatch(connection, Frame("math.refuse", None, "8"))
    assert connection.sent == [Frame("math.add", 3, "7"), Frame("math.refuse.error", {"code": "no"}, "8")]


async def test_fallback_that_returns_a_value_answers() -> None:
    router = EventRouter()
    router.fallback(lambda context: "nobody knows")
    connection = FakeConnection()
    await router.dispatch(connection, Frame("what", None, "7"))
    assert connection.sent == [Frame("what", "nobody knows", "7")]


async def fail_to_read(context: Context, number: int) -> None:
    pytest.fail("it ran")


async def find_a_fault(context: Context) -> None:
    raise InvalidPayloadError("$", "Expected more")


@pytest.mark.parametrize("handler", [fail_to_read, find_a_fault])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_what_on_invalid_returns_is_no_answer_and_what_it_raises_is(handler: Any, is_async: bool) -> None:
    async def later(context: Context, error: InvalidPayloadError) -> object:
        return now(context, error)

    def now(context: Context, error: InvalidPayloadError) -> object:
        if context.frame.id == "8":
            raise ReplyError(error.problem)
        return "no answer"

    router = EventRouter()
    router.on("add", handler)
    router.on_invalid(later if is_async else now)
    connection = FakeConnection()
    await router.dispatch(connection, Frame("add", "x", "7"))
    assert connection.sent == []
    await router.dispatch(connection, Frame("add", "x", "8"))
    (frame,) = connection.sent
    assert (frame.event, frame.id) == ("add.error", "8")


@pytest.mark.parametrize("handler", [add, add_later, refuse])
async def test_answer_that_cannot_be_sent_is_raised_as_if_the_handler_had_sent_it(handler: Any) -> None:
    router = EventRouter()
    router.on("add", handler)
    with pytest.raises(SendBufferFullError):
        await router.dispatch(FakeConnection(error=SendBufferFullError("alice")), FRAME)


async def test_answer_that_cannot_be_sent_is_caught_by_recovery(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    router = EventRouter()
    router.use(recovery())
    router.on("add", add_later)
    await router.dispatch(FakeConnection(error=SendBufferFullError("alice")), FRAME)
    assert [record.message for record in caplog.records] == ["handler raised"]


def test_reply_error_says_who_speaks_and_shows_its_payload_shortened() -> None:
    assert str(ReplyError({"code": "no"})) == "wspulse: the answer is an error: {'code': 'no'}"
    assert len(str(ReplyError("x" * 10_000))) < 300
    assert ReplyError().payload is None
