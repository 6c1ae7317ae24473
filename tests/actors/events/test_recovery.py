"""`recovery()`: what it catches, what it lets through, and what it logs."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from tests.support.sessions.fake_connection import FakeConnection
from wspulse import Context, EventRouter, Frame, InvalidPayloadError, recovery

FRAME = Frame("buy", {"price": "a lot"}, "7")


class BrokenError(Exception):
    pass


def broken(context: Context) -> None:
    raise BrokenError("sync")


async def broken_later(context: Context) -> None:
    await asyncio.sleep(0)
    raise BrokenError("async")


@pytest.mark.parametrize("handler", [broken, broken_later])
async def test_error_is_logged_with_its_traceback_when_a_handler_raises(
    handler: Any, caplog: pytest.LogCaptureFixture
) -> None:
    router = EventRouter()
    router.use(recovery())
    router.on("buy", handler)
    await router.dispatch(FakeConnection(), FRAME)
    (record,) = caplog.records
    assert (record.name, record.levelname, record.message) == ("wspulse", "ERROR", "handler raised")
    assert (vars(record)["event"], vars(record)["connection_id"]) == ("buy", "alice")
    assert record.exc_info
    assert isinstance(record.exc_info[1], BrokenError)


def test_chain_stays_without_a_task_when_recovery_is_the_only_middleware() -> None:
    router = EventRouter()
    router.use(recovery())
    router.on("buy", lambda context: None)
    assert router(FakeConnection(), FRAME) is None


@pytest.mark.parametrize("guard", [broken, broken_later])
async def test_handler_is_not_run_when_the_middleware_before_it_raised(
    guard: Any, caplog: pytest.LogCaptureFixture
) -> None:
    router = EventRouter()
    router.use(recovery())
    router.use(guard)

    @router.on("buy")
    def buy(context: Context) -> None:
        raise AssertionError("the guard did not let it pass")

    await router.dispatch(FakeConnection(), FRAME)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("handler", [broken, broken_later])
async def test_peer_is_answered_when_on_error_answers(
    handler: Any, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(context: Context, error: Exception) -> None:
        context.connection.send_nowait(Frame("error", type(error).__name__, context.frame.id))

    async def answer_later(context: Context, error: Exception) -> None:
        await asyncio.sleep(0)
        answer(context, error)

    router = EventRouter()
    router.use(recovery(answer_later if is_async else answer))
    router.on("buy", handler)
    connection = FakeConnection()
    await router.dispatch(connection, FRAME)
    assert connection.sent == [Frame("error", "BrokenError", "7")]


@pytest.mark.parametrize("is_async", [False, True])
async def test_payload_error_passes_so_that_on_invalid_answers_it(
    is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def picky(context: Context) -> None:
        raise InvalidPayloadError("$.price", "Expected less")

    async def picky_later(context: Context) -> None:
        await asyncio.sleep(0)
        picky(context)

    router = EventRouter()
    router.use(recovery())
    router.on("buy", picky_later if is_async else picky)
    connection = FakeConnection()
    await router.dispatch(connection, FRAME)
    assert connection.sent[0].payload["path"] == "$.price"
    assert not caplog.records


async def test_cancellation_passes_when_the_handler_is_cancelled() -> None:
    async def cancelled(context: Context) -> None:
        raise asyncio.CancelledError

    router = EventRouter()
    router.use(recovery())
    router.on("buy", cancelled)
    with pytest.raises(asyncio.CancelledError):
        await router.dispatch(FakeConnection(), FRAME)


async def test_log_is_bounded_when_a_peer_makes_a_handler_raise_all_the_time(caplog: pytest.LogCaptureFixture) -> None:
    router = EventRouter()
    router.use(recovery())
    router.on("buy", broken)
    for _ in range(1000):
        await router.dispatch(FakeConnection(), FRAME)
    assert len(caplog.records) <= 10  # five in each of the windows that this may touch


def test_recovery_raises_type_error_when_on_error_is_not_callable() -> None:
    with pytest.raises(TypeError, match="wspulse: recovery: 7 is not callable"):
        recovery(7)  # type: ignore[arg-type]


async def test_own_logger_is_used_when_it_is_given(caplog: pytest.LogCaptureFixture) -> None:
    router = EventRouter()
    router.use(recovery(logger=logging.getLogger("shop")))
    router.on("buy", broken)
    await router.dispatch(FakeConnection(), FRAME)
    assert caplog.records[0].name == "shop"
