"""Parts are stopped in reverse, whatever becomes of one of them."""

from __future__ import annotations

import asyncio

import pytest

from wspulse.supervisor.process.started_parts import StartedParts


async def test_parts_are_stopped_in_reverse_and_once() -> None:
    stopped: list[str] = []

    async def stop_slowly() -> None:
        await asyncio.sleep(0)
        stopped.append("second")

    parts = StartedParts()
    parts.add("first", lambda: stopped.append("first"))
    parts.add("second", stop_slowly)
    parts.add("third", lambda: stopped.append("third"))
    assert await parts.stop() == []
    assert stopped == ["third", "second", "first"]
    assert await parts.stop() == []
    assert stopped == ["third", "second", "first"]


async def test_part_that_fails_to_stop_keeps_no_other_from_it() -> None:
    stopped: list[str] = []

    def fail() -> None:
        raise RuntimeError("planted")

    async def fail_later() -> None:
        await asyncio.sleep(0)
        raise OSError("planted too")

    parts = StartedParts()
    parts.add("first", lambda: stopped.append("first"))
    parts.add("second", fail)
    parts.add("third", fail_later)
    parts.add("fourth", lambda: stopped.append("fourth"))
    failures = await parts.stop()
    assert stopped == ["fourth", "first"]
    assert [(failure.part, str(failure.error)) for failure in failures] == [
        ("third", "planted too"),
        ("second", "planted"),
    ]


async def test_cancelled_stop_is_no_failure_of_a_part() -> None:
    def cancelled() -> None:
        raise asyncio.CancelledError

    parts = StartedParts()
    parts.add("first", cancelled)
    with pytest.raises(asyncio.CancelledError):
        await parts.stop()
