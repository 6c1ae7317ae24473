"""`EventRouter`: which steps run for a frame, in which order, and what happens to those that fail."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
import pytest

from tests.support.sessions.fake_connection import FakeConnection
from wspulse import (
    ConnectionClosedError,
    Context,
    EventRouter,
    Frame,
    InvalidPayloadError,
    SendBufferFullError,
)

CHAT = Frame("chat", msgspec.Raw(b'{"text":"hi"}'), "7")


class ChatMessage(msgspec.Struct):
    text: str


class Trace:
    """Makes steps that write down when they run."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def sync(self, name: str) -> Any:
        def step(context: Context) -> None:
            self.lines.append(name)

        return step

    def later(self, name: str) -> Any:
        async def step(context: Context) -> None:
            await asyncio.sleep(0)
            self.lines.append(name)

        return step

    def around(self, name: str) -> Any:
        async def step(context: Context) -> None:
            self.lines.append(f"{name} in")
            await context.next()
            self.lines.append(f"{name} out")

        return step

    def aborting(self, name: str) -> Any:
        def step(context: Context) -> None:
            self.lines.append(name)
            context.abort()

        return step


# Registration.


def test_registration_returns_the_function_it_got() -> None:
    router = EventRouter()
    step, invalid = Trace().sync("step"), lambda context, error: None
    assert router.use(step) is step
    assert router.on("chat")(step) is step
    assert router.on("ping", step) is step
    assert router.fallback(step) is step
    assert router.on_invalid(invalid) is invalid


async def test_middleware_runs_when_it_was_added_after_the_handler() -> None:
    trace, router = Trace(), EventRouter()
    router.on("chat", trace.sync("handler"))
    router.use(trace.sync("middleware"))
    await router.dispatch(FakeConnection(), CHAT)
    assert trace.lines == ["middleware", "handler"]


async def test_registration_counts_when_frames_were_handled_before_it() -> None:
    trace, router = Trace(), EventRouter()
    router.fallback(trace.sync("fallback"))
    await router.dispatch(FakeConnection(), CHAT)
    router.on("chat", trace.sync("handler"))
    await router.dispatch(FakeConnection(), CHAT)
    router.use(trace.sync("middleware"))
    await router.dispatch(FakeConnection(), CHAT)
    assert trace.lines == ["fallback", "handler", "middleware", "handler"]


async def test_frame_keeps_its_chain_when_something_is_registered_meanwhile() -> None:
    trace, router = Trace(), EventRouter()

    @router.use
    async def adds(context: Context) -> None:
        router.use(trace.sync("added"))
        await context.next()

    router.on("chat", trace.sync("handler"))
    await router.dispatch(FakeConnection(), CHAT)
    assert trace.lines == ["handler"]


# Order.


@pytest.mark.parametrize("handler", ["sync", "later"])
async def test_steps_run_in_order_when_sync_and_async_ones_are_mixed(handler: str) -> None:
    trace, router = Trace(), EventRouter()
    for step in (trace.sync("one"), trace.around("two"), trace.later("three"), trace.around("four")):
        router.use(step)
    router.on("chat", getattr(trace, handler)("handler"), use=[trace.sync("own")])
    await router.dispatch(FakeConnection(), CHAT)
    assert trace.lines == ["one", "two in", "three", "four in", "own", "handler", "four out", "two out"]


def test_dispatch_needs_no_task_when_every_step_is_sync() -> None:
    trace, router = Trace(), EventRouter()
    router.use(trace.sync("middleware"))
    router.on("chat", trace.sync("handler"))
    assert router(FakeConnection(), CHAT) is None
    assert trace.lines == ["middleware", "handler"]


@pytest.mark.parametrize("kind", ["sync", "later"])
async def test_handler_is_skipped_when_a_middleware_aborts(kind: str) -> None:
    trace, router = Trace(), EventRouter()
    for step in (trace.around("outer"), trace.aborting("guard"), trace.sync("skipped")):
        router.use(step)
    router.on("chat", getattr(trace, kind)("handler"))
    await router.dispatch(FakeConnection(), CHAT)
    assert trace.lines == ["outer in", "guard", "outer out"]


async def test_context_is_aborted_for_those_around_the_step_that_aborted() -> None:
    seen: list[bool] = []
    router = EventRouter()

    @router.use
    async def looks(context: Context) -> None:
        seen.append(context.aborted)
        await context.next()
        seen.append(context.aborted)

    router.on("chat", Trace().aborting("handler"))
    await router.dispatch(FakeConnection(), CHAT)
    assert seen == [False, True]


async def test_handler_runs_once_when_a_middleware_calls_next_twice() -> None:
    trace, router = Trace(), EventRouter()

    @router.use
    async def eager(context: Context) -> None:
        await context.next()
        await context.next()

    router.on("chat", trace.later("handler"))
    await router.dispatch(FakeConnection(), CHAT)
    assert trace.lines == ["handler"]


async def test_sync_step_is_awaited_when_it_returns_an_awaitable() -> None:
    trace, router = Trace(), EventRouter()
    router.use(lambda context: context.next())
    router.on("chat", lambda context: asyncio.gather(trace.later("handler")(context)))
    await router.dispatch(FakeConnection(), CHAT)
    assert trace.lines == ["handler"]


async def test_values_reach_the_handler_and_no_other_frame() -> None:
    seen: list[Any] = []
    router = EventRouter()

    @router.use
    def first_time(context: Context) -> None:
        seen.append(context.get("user"))
        context["user"] = context.connection.id

    router.on("chat", lambda context: seen.append(context["user"]))
    await router.dispatch(FakeConnection("alice"), CHAT)
    await router.dispatch(FakeConnection("bob"), CHAT)
    assert seen == [None, "alice", None, "bob"]


async def test_frames_of_two_connections_overlap_when_handlers_wait() -> None:
    router = EventRouter()
    both = asyncio.Barrier(2)

    @router.on("chat")
    async def meet(context: Context) -> None:
        async with asyncio.timeout(5):
            await both.wait()

    await asyncio.gather(router.dispatch(FakeConnection("a"), CHAT), router.dispatch(FakeConnection("b"), CHAT))


# Failures.


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("place", ["middleware", "handler", "fallback"])
async def test_error_reaches_the_caller_when_a_step_raises(kind: str, place: str) -> None:
    def broken(context: Context) -> None:
        raise LookupError(place)

    async def broken_later(context: Context) -> None:
        await asyncio.sleep(0)
        raise LookupError(place)

    step = broken if kind == "sync" else broken_later
    router = EventRouter()
    match place:
        case "middleware":
            router.use(step)
        case "handler":
            router.on("chat", step)
        case "fallback":
            router.fallback(step)
    with pytest.raises(LookupError, match=place):
        await router.dispatch(FakeConnection(), CHAT)


async def test_handler_is_skipped_when_a_caught_error_came_from_the_middleware_before_it() -> None:
    trace, router = Trace(), EventRouter()

    @router.use
    async def catches(context: Context) -> None:
        try:
            await context.next()
        except LookupError:
            trace.lines.append("caught")

    @router.use
    def guard(context: Context) -> None:
        raise LookupError

    router.on("chat", trace.sync("handler"))
    await router.dispatch(FakeConnection(), CHAT)
    assert trace.lines == ["caught"]


# Events without a handler.


async def test_unmatched_event_reaches_the_fallback_after_middleware() -> None:
    trace, router = Trace(), EventRouter()
    router.use(trace.around("middleware"))
    router.fallback(trace.sync("fallback"))
    await router.dispatch(FakeConnection(), Frame("nobody.knows"))
    await router.dispatch(FakeConnection(), Frame(""))
    assert trace.lines == ["middleware in", "fallback", "middleware out"] * 2


async def test_unmatched_events_are_warned_of_and_bounded_when_there_is_no_fallback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    router = EventRouter()
    for _ in range(1000):
        await router.dispatch(FakeConnection(), Frame("nobody.knows"))
    assert 1 <= len(caplog.records) <= 10
    record = caplog.records[0]
    assert (record.name, record.levelname, vars(record)["event"]) == ("wspulse", "WARNING", "nobody.knows")


async def test_log_and_memory_stay_small_when_event_names_are_a_megabyte(caplog: pytest.LogCaptureFixture) -> None:
    router = EventRouter(logger=logging.getLogger("shop"))
    for number in range(20):
        await router.dispatch(FakeConnection(), Frame(str(number) + "x" * 1_000_000))
    assert router._chains == {}
    assert all(len(vars(record)["event"]) == 201 for record in caplog.records)
    assert caplog.records[0].name == "shop"


# Payloads that do not fit.


async def test_sender_gets_an_error_frame_when_its_payload_does_not_fit() -> None:
    router = EventRouter()

    @router.on("chat")
    async def say(context: Context, message: ChatMessage) -> None:
        raise AssertionError("it does not fit")

    connection = FakeConnection()
    await router.dispatch(connection, Frame("chat", msgspec.Raw(b'{"text":1}'), "7"))
    payload = {"code": "invalid_payload", "event": "chat", "path": "$.text", "problem": "Expected `str`, got `int`"}
    assert connection.sent == [Frame("error", payload, "7")]


@pytest.mark.parametrize("error", [SendBufferFullError("alice"), ConnectionClosedError("alice")])
async def test_answer_is_given_up_when_the_sender_takes_nothing(error: Exception) -> None:
    router = EventRouter()
    router.on("chat", Trace().sync("handler"), type=int)
    await router.dispatch(FakeConnection(error=error), CHAT)


@pytest.mark.parametrize("is_async", [False, True])
async def test_on_invalid_stands_in_for_the_handler_when_a_payload_does_not_fit(is_async: bool) -> None:
    trace, router = Trace(), EventRouter()
    router.use(trace.around("middleware"))
    router.on("chat", trace.sync("handler"), type=int)

    def invalid(context: Context, error: InvalidPayloadError) -> None:
        trace.lines.append(f"{context.frame.id}: {error.path}: {error.problem}")

    async def invalid_later(context: Context, error: InvalidPayloadError) -> None:
        await asyncio.sleep(0)
        invalid(context, error)

    router.on_invalid(invalid_later if is_async else invalid)
    await router.dispatch(FakeConnection(), CHAT)
    assert trace.lines == ["middleware in", "7: $: Expected `int`, got `object`", "middleware out"]


@pytest.mark.parametrize("is_async", [False, True])
async def test_on_invalid_is_called_when_middleware_reads_a_payload_that_does_not_fit(is_async: bool) -> None:
    trace, router = Trace(), EventRouter()

    def reads(context: Context) -> None:
        trace.lines.append(context.data)

    async def reads_later(context: Context) -> None:
        await asyncio.sleep(0)
        reads(context)

    async def invalid(context: Context, error: InvalidPayloadError) -> None:
        trace.lines.append(error.problem)

    router.use(reads_later if is_async else reads)
    router.on("chat", trace.sync("handler"), type=int)
    router.on_invalid(invalid)
    await router.dispatch(FakeConnection(), CHAT)
    assert trace.lines == ["Expected `int`, got `object`"]
