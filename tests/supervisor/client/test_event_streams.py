"""Streams of events of both clients, in front of a real control plane: active from the first moment, and never silent about
what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.control.control_stage import ControlStage, control_stage
from tests.support.eventually import eventually
from wspulse import AsyncControl, Control, ControlError
from wspulse.supervisor.client.async_events import AsyncEventStream
from wspulse.supervisor.client.events import EventStream
from wspulse.supervisor.protocol.types import Event


class Stream:
    """Either stream, with coroutines for all that takes time."""

    def __init__(self, kind: str, endpoint: str, *topics: str, timeout: float | None = None, patience: float = 10.0):
        self._client: Control | AsyncControl = (Control if kind == "blocking" else AsyncControl)(
            endpoint, timeout=patience
        )
        self._topics = topics
        self._timeout = timeout
        self._stream: EventStream | AsyncEventStream

    async def open(self) -> None:
        if isinstance(self._client, Control):
            self._stream = await asyncio.to_thread(self._client.events, *self._topics, timeout=self._timeout)
        else:
            self._stream = self._client.events(*self._topics, timeout=self._timeout)
            await self._stream.__aenter__()

    async def next(self) -> Event | None:
        """None at the end."""
        async with asyncio.timeout(20):
            if isinstance(self._stream, EventStream):
                return await asyncio.to_thread(next, self._stream, None)
            return await anext(self._stream, None)

    async def rooms(self, count: int) -> list[str]:
        events = [await self.next() for _ in range(count)]
        return [event.room for event in events if event is not None]

    def close_client(self) -> None:
        """Of the stream itself nobody speaks."""
        self._client.close()

    def close(self) -> None:
        if hasattr(self, "_stream"):
            self._stream.close()
        self._client.close()


@pytest.fixture(params=["blocking", "asynchronous"])
def kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@asynccontextmanager
async def opened(kind: str, endpoint: str, *topics: str, **options: Any) -> AsyncIterator[Stream]:
    stream = Stream(kind, endpoint, *topics, **options)
    try:
        await stream.open()
        yield stream
    finally:
        stream.close()
        await asyncio.get_running_loop().shutdown_default_executor()


def happens(stage: ControlStage, kind: str, room: str) -> None:
    """A session's event goes out."""
    stage.plane.events.publish(
        f"{kind}.{room}".encode(),
        b"\x84\xa4kind" + _text(kind) + b"\xa4time\x01\xa4room" + _text(room) + b"\xa5shard\x00",
    )


def _text(text: str) -> bytes:
    return bytes((0xA0 | len(text),)) + text.encode()


async def test_what_happens_from_the_first_moment_on_is_seen_and_nothing_else(kind: str, tmp_path: Path) -> None:
    async with (
        control_stage(tmp_path, up=False) as stage,
        opened(kind, stage.endpoint, "connect.den", "disconnect.") as stream,
    ):
        for what, room in (
            ("connect", "den"),
            ("connect", "hall"),
            ("drop", "den"),
            ("disconnect", "hall"),
            ("connect", "den-2"),
        ):
            happens(stage, what, room)
        events = [await stream.next() for _ in range(3)]
        assert [(event.kind, event.room) for event in events if event is not None] == [
            ("connect", "den"),
            ("disconnect", "hall"),
            ("connect", "den-2"),
        ]
        assert not any(event.missed for event in events if event is not None)


async def test_without_topics_everything_is_seen_but_no_probe(kind: str, tmp_path: Path) -> None:
    async with control_stage(tmp_path, up=False) as stage, opened(kind, stage.endpoint) as stream:
        happens(stage, "connect", "a")
        stage.plane.events.publish_probe("somebody's")
        happens(stage, "drop", "b")
        assert await stream.rooms(2) == ["a", "b"]


async def test_stream_ends_when_nothing_came_for_its_timeout(kind: str, tmp_path: Path) -> None:
    async with control_stage(tmp_path, up=False) as stage, opened(kind, stage.endpoint, timeout=0.2) as stream:
        happens(stage, "connect", "a")
        assert await stream.rooms(1) == ["a"]
        assert await stream.next() is None


async def test_stream_without_a_server_is_an_error(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ControlError, match=r"no server at .* within 0\.1 s"):
        async with opened(kind, f"ipc://{tmp_path}/none", patience=0.1):
            pass


async def test_stream_goes_on_with_the_next_server_and_says_that_something_may_be_missing(
    kind: str, tmp_path: Path
) -> None:
    (tmp_path / "f").mkdir(mode=0o700)
    control = f"ipc://{tmp_path}/f/c"
    async with control_stage(tmp_path, up=False, control=control) as stage:
        stream = Stream(kind, stage.endpoint, "connect.")
        await stream.open()
        happens(stage, "connect", "den")
        assert await stream.rooms(1) == ["den"]
    waiting = asyncio.create_task(stream.next())
    async with control_stage(tmp_path, up=False, control=control) as stage:
        await eventually(lambda: b"connect." in stage.plane.events.prefixes, "it is subscribed again")
        happens(stage, "connect", "den")
        event = await waiting
        assert event is not None
        assert (event.room, event.missed) == ("den", True)
        happens(stage, "connect", "den")
        event = await stream.next()
        assert event is not None
        assert not event.missed
        stream.close()
    await asyncio.get_running_loop().shutdown_default_executor()


async def test_gap_in_a_topics_numbers_is_told_with_the_event_behind_it(kind: str, tmp_path: Path) -> None:
    async with control_stage(tmp_path, up=False) as stage, opened(kind, stage.endpoint) as stream:
        happens(stage, "connect", "den")
        stage.plane.events.skip(3)
        happens(stage, "connect", "den")
        happens(stage, "connect", "den")
        events = [await stream.next() for _ in range(3)]
        assert [event.missed for event in events if event is not None] == [False, True, False]


async def test_closed_stream_ends_whoever_waits_for_it(tmp_path: Path) -> None:
    async with control_stage(tmp_path, up=False) as stage, opened("asynchronous", stage.endpoint) as stream:
        waiting = asyncio.create_task(stream.next())
        await asyncio.sleep(0)
        stream.close()
        assert await waiting is None
        assert await stream.next() is None


async def test_close_of_the_client_ends_its_streams_and_their_sockets(kind: str, tmp_path: Path) -> None:
    async with control_stage(tmp_path, up=False) as stage, opened(kind, stage.endpoint) as stream:
        happens(stage, "connect", "a")
        assert await stream.rooms(1) == ["a"]
        taking = asyncio.create_task(stream.next())
        await asyncio.sleep(0)
        stream.close_client()
        async with asyncio.timeout(5):
            assert await taking is None
        await eventually(lambda: not stage.plane.events.prefixes, "nobody is subscribed any more")
