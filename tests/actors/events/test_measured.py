"""Handlers that are measured: each by the event that it was registered for, however it ends; and nothing else of them changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

import pytest

from tests.support.sessions.fake_connection import FakeConnection
from wspulse import Context, EventRouter, Frame
from wspulse.actors.events.measured import measured
from wspulse.actors.values.telemetry.histogram import Histograms


@pytest.fixture
def histograms() -> Histograms:
    return Histograms()


def counts(histograms: Histograms) -> dict[str, int]:
    """By event, how many calls were measured."""
    told = histograms.told().get("wspulse_handler_seconds", {})
    return {
        event: sum(count for bucket, count in buckets.items() if bucket.isdigit()) for event, buckets in told.items()
    }


async def handle(on_message: Callable[..., Any], event: str) -> FakeConnection:
    """Returns who sent it, with what it got."""
    connection = FakeConnection()
    result = on_message(connection, Frame(event, id="7"))
    if result is not None:
        await result
    return connection


def answer(_context: Context) -> str:
    return "sync"


async def answer_later(_context: Context) -> str:
    await asyncio.sleep(0)
    return "async"


def fail(_context: Context) -> None:
    raise LookupError


async def fail_later(_context: Context) -> None:
    raise LookupError


@pytest.mark.parametrize(("handler", "value"), [(answer, "sync"), (answer_later, "async")])
async def test_handler_of_a_router_is_measured_under_its_event_and_answers_as_ever(
    handler: Callable[[Context], Any], value: str, histograms: Histograms
) -> None:
    router = EventRouter()
    router.on("asked", handler)
    is_itself = measured(router, histograms) is router
    assert is_itself
    for number in range(3):
        connection = await handle(router, "asked")
        assert [frame.payload for frame in connection.sent] == [value]
        assert counts(histograms)["asked"] == number + 1


@pytest.mark.parametrize("handler", [fail, fail_later])
async def test_handler_that_raises_is_measured_too(handler: Callable[[Context], Any], histograms: Histograms) -> None:
    router = EventRouter()
    router.on("asked", handler)
    measured(router, histograms)
    with pytest.raises(LookupError):
        await handle(router, "asked")
    assert counts(histograms)["asked"] == 1


async def test_time_that_a_handler_awaits_counts_and_its_middleware_does_not(histograms: Histograms) -> None:
    router, waited_s = EventRouter(), 0.0

    @router.use
    async def wait(context: Context) -> None:
        nonlocal waited_s
        began = perf_counter()
        await asyncio.sleep(0.12)
        waited_s = perf_counter() - began
        await context.next()

    @router.on("slow")
    async def slow(_context: Context) -> None:
        await asyncio.sleep(0.03)

    measured(router, histograms)
    began = perf_counter()
    await handle(router, "slow")
    took_us = histograms.told()["wspulse_handler_seconds"]["slow"]["sum_us"]
    assert 29_000 <= took_us <= (perf_counter() - began - waited_s) * 1_000_000, "the loop's clock counts milliseconds"


async def test_labels_are_the_registered_events_whatever_clients_send(histograms: Histograms) -> None:
    router, child = EventRouter(), EventRouter()
    child.on("said", answer)
    router.include(child, "chat.")
    router.fallback(answer)
    measured(router, histograms)
    for number in range(50):
        await handle(router, f"made.up.{number}")
    await handle(router, "chat.said")
    assert counts(histograms) == {"chat.said": 1, "": 50}
    child.on("left", answer)
    await handle(router, "chat.left")
    assert counts(histograms) == {"chat.said": 1, "chat.left": 1, "": 50}, "also what is registered later"


def test_router_that_nobody_measures_calls_its_handlers_themselves() -> None:
    router = EventRouter()
    router.on("asked", answer)
    assert router._compile()["asked"].steps == (answer,)


@pytest.mark.parametrize("is_async", [False, True])
async def test_on_message_without_a_router_is_measured_without_an_event(is_async: bool, histograms: Histograms) -> None:
    heard: list[str] = []

    def on_message(_connection: FakeConnection, frame: Frame) -> Awaitable[None] | None:
        heard.append(frame.event)
        return asyncio.sleep(0) if is_async else None

    call = measured(on_message, histograms)
    assert call is not None
    await handle(call, "made.up")
    assert (heard, counts(histograms)) == (["made.up"], {"": 1})


def test_no_handler_is_none(histograms: Histograms) -> None:
    assert measured(None, histograms) is None
    assert histograms.told() == {}
