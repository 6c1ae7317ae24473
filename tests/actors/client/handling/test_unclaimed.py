"""Frames that have no handler: who iterates gets them in order; who does not is no hindrance."""

from __future__ import annotations

import asyncio

import pytest

from wspulse.actors.client.handling.unclaimed import FrameIterator, Unclaimed
from wspulse.actors.values.frame import Frame


async def put_all(unclaimed: Unclaimed, count: int) -> None:
    for number in range(count):
        await unclaimed.put(Frame("a", number))


async def test_newest_are_kept_for_whoever_begins_to_iterate() -> None:
    unclaimed = Unclaimed()
    await put_all(unclaimed, 1000)
    unclaimed.finish(None)
    assert [frame.payload async for frame in unclaimed.iterate()] == list(range(744, 1000))


async def test_none_gives_way_while_somebody_iterates() -> None:
    unclaimed = Unclaimed()
    frames = unclaimed.iterate()
    putting = asyncio.create_task(put_all(unclaimed, 1000))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not putting.done()
    assert [(await anext(frames)).payload for _ in range(1000)] == list(range(1000))
    await putting


async def test_whoever_waits_to_put_goes_on_when_the_iterator_has_gone() -> None:
    unclaimed = Unclaimed()
    frames = unclaimed.iterate()
    putting = asyncio.create_task(put_all(unclaimed, 1000))
    assert (await anext(frames)).payload == 0
    del frames
    await putting


async def test_two_iterators_share_the_frames_and_the_end() -> None:
    unclaimed = Unclaimed()
    first, second = unclaimed.iterate(), unclaimed.iterate()
    found: list[int] = []
    taking = [asyncio.create_task(take(frames, found)) for frames in (first, second)]
    await put_all(unclaimed, 10)
    unclaimed.finish(lambda: RuntimeError("over"))
    await asyncio.gather(*taking)
    assert sorted(found) == list(range(10))


async def take(frames: FrameIterator, found: list[int]) -> None:
    with pytest.raises(RuntimeError, match="over"):  # noqa: PT012
        while True:
            found.append((await anext(frames)).payload)
