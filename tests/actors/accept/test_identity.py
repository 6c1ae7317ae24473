"""`Identification`: what `connect` and `check_origin` raise, whatever it is, is answered 500 and harms nobody."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any, cast

import pytest

from tests.support.sessions.transport_shell import NotedShard
from tests.support.wire.raw_peer import head
from wspulse.actors.accept.identity import Identification
from wspulse.actors.mesh.placement import Placement
from wspulse.actors.values.request import Request
from wspulse.actors.wire.answer import HTTPAnswer


class Outcome(BaseException):
    """As what pytest.fail() raises, and a panic of a Rust extension."""


def raising(error: type[BaseException], is_async: bool) -> Callable[..., Any]:
    async def fail_later(_request: Request) -> None:
        await asyncio.sleep(0)
        raise error

    def fail(_request: Request) -> None:
        raise error

    return fail_later if is_async else fail


def asked_of(connect: Callable[..., Any], **options: Any) -> tuple[Identification, NotedShard]:
    shard = NotedShard(**options)
    return Identification(cast("Any", shard), Placement(1), connect), shard


@pytest.mark.parametrize("where", ["connect", "check_origin"])
@pytest.mark.parametrize(
    ("error", "is_async"),
    [
        (error, is_async)
        for error in (LookupError, Outcome, KeyboardInterrupt, SystemExit, asyncio.CancelledError)
        for is_async in (True, False)
    ]
    + [(GeneratorExit, False)],
)
async def test_application_that_raises_anything_is_answered_500_and_its_error_passed_on(
    where: str, error: type[BaseException], is_async: bool
) -> None:
    fail = raising(error, is_async)
    if where == "connect":
        identification, shard = asked_of(fail)
    else:
        identification, shard = asked_of(lambda _request: ("room", "ada"), check_origin=fail)
    answer = await identification.identify(Request.from_head(head("/ws"), None))
    assert isinstance(answer, HTTPAnswer)
    assert answer.status == 500
    assert [type(each) for each in shard.passed_on] == [error]


async def test_asking_that_nobody_waits_for_any_more_ends_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    async def connect(_request: Request) -> None:
        await asyncio.sleep(0)

    identification, shard = asked_of(connect)
    asking = identification.asking(Request.from_head(head("/ws"), None))
    next(asking).close()  # type: ignore[attr-defined]
    asking.close()
    del asking
    gc.collect()
    assert caplog.text == ""
    assert shard.passed_on == []


async def test_ids_that_are_too_long_fill_no_log_however_many_ask(caplog: pytest.LogCaptureFixture) -> None:
    identification, _ = asked_of(lambda _request: ("room", "x" * 257))
    for _ in range(100):
        answer = await identification.identify(Request.from_head(head("/ws"), ("10.0.0.1", 5)))
        assert isinstance(answer, HTTPAnswer)
        assert answer.status == 500
    assert [record.message for record in caplog.records] == ["connect or check_origin raised"] * len(caplog.records)
    assert 1 <= len(caplog.records) <= 10  # five in each of the windows that this may touch
    assert vars(caplog.records[0])["remote_address"] == "10.0.0.1:5"
