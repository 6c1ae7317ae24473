"""The feed of events: what it makes of the errors of an application, and how it says that all is published."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from tests.support.eventually import eventually
from tests.support.wire.raw_peer import RawPeer, masked
from wspulse import Server
from wspulse.actors.mesh.lifecycle import Events, EventsMark
from wspulse.actors.mesh.message import Message
from wspulse.actors.runtime import event_feed
from wspulse.actors.runtime.event_feed import EventFeed
from wspulse.actors.wire.frames import TEXT


class Mute(Exception):
    def __str__(self) -> str:
        raise SystemExit("an error without a text")


async def test_error_that_cannot_say_what_it_is_ends_its_session_like_any_other() -> None:
    server = Server(lambda _request: ("room", "ada"))
    ended: list[BaseException | None] = []
    sent: list[Message] = []

    @server.on_message
    def fail(*_: object) -> None:
        raise Mute

    server.on_disconnect(lambda _connection, error: ended.append(error))
    async with server.serve() as running:
        feed = EventFeed(server._running().shard, sent.append, lambda: False)
        feed.watch([b"disconnect."])
        peer = await RawPeer.upgraded(running.port, "/ws", glued=masked(TEXT, b"{}"))
        assert await peer.close_code() == (1011, "internal error")
        await peer.close()
        await eventually(lambda: ended, "on_disconnect has run")
    feed.flush()
    assert [type(error) for error in ended] == [Mute]
    events = [
        msgspec.msgpack.decode(data) for message in sent if isinstance(message, Events) for _, data in message.events
    ]
    told: list[Any] = [event["error"] for event in events]
    assert told == [{"type": "Mute", "message": "its text is not available"}]


class Stage:
    """A feed and what it has sent. `backlogged` says that nothing is taken."""

    def __init__(self, server: Server) -> None:
        self.sent: list[Message] = []
        self.backlogged = False
        self.shard = server._running().shard
        self.feed = EventFeed(self.shard, self.sent.append, lambda: self.backlogged)
        self.log: list[str] = []

    def settle(self, name: str) -> None:
        self.feed.settled(lambda: self.log.append(name))

    def happen(self) -> None:
        """Something happens to the session."""
        self.shard.publish_event("transfer", self.shard.sessions["ada"])

    def kinds(self) -> list[str]:
        return [type(message).__name__ for message in self.sent]

    @property
    def marks(self) -> list[int]:
        return [message.number for message in self.sent if isinstance(message, EventsMark)]


@asynccontextmanager
async def listening(*prefixes: bytes) -> AsyncIterator[Stage]:
    server = Server(lambda _request: ("room", "ada"))
    async with server.serve() as running:
        stage = Stage(server)
        peer = await RawPeer.upgraded(running.port, "/ws")
        stage.feed.watch(list(prefixes))
        yield stage
        stage.feed.close()
        await peer.close()


async def test_transfer_of_a_session_is_an_event_of_its_room() -> None:
    async with listening(b"transfer.room") as stage:
        stage.happen()
        stage.feed.flush()
        (events,) = (message for message in stage.sent if isinstance(message, Events))
        ((topic, data),) = events.events
        told = msgspec.msgpack.decode(data)
        assert (topic, told.pop("time") > 0) == (b"transfer.room", True)
        assert told == {"kind": "transfer", "room": "room", "connection": "ada", "shard": 0}


async def test_event_bears_the_name_of_its_host_where_there_are_several() -> None:
    async with listening(b"transfer.room") as stage:
        feed = EventFeed(stage.shard, stage.sent.append, lambda: False, "a:8000")
        feed.watch([b""])
        stage.happen()
        feed.close()
        (events,) = (message for message in stage.sent if isinstance(message, Events))
        assert msgspec.msgpack.decode(events.events[0][1])["host"] == "a:8000"


async def test_feed_is_settled_at_once_where_nobody_listens() -> None:
    async with listening() as stage:
        stage.settle("now")
        assert stage.log == ["now"]
        assert stage.sent == []


async def test_feed_is_settled_when_the_supervisor_has_taken_what_lay_ahead_of_its_mark() -> None:
    async with listening(b"") as stage:
        stage.happen()
        stage.settle("one")
        stage.settle("two")
        stage.happen()
        stage.settle("three")
        assert stage.kinds() == ["Events", "EventsMark", "EventsMark", "Events", "EventsMark"]
        assert stage.log == []
        stage.feed.taken(stage.marks[1])
        assert stage.log == ["one", "two"]
        stage.feed.taken(stage.marks[2])
        assert stage.log == ["one", "two", "three"]


async def test_mark_waits_behind_events_that_nobody_takes() -> None:
    async with listening(b"") as stage:
        stage.backlogged = True
        stage.happen()
        stage.settle("one")
        stage.settle("two")
        assert stage.sent == []
        stage.backlogged = False
        stage.feed.flush()
        assert stage.kinds() == ["Events", "EventsMark"]
        stage.feed.taken(*stage.marks)
        assert stage.log == ["one", "two"]


async def test_answer_to_another_process_settles_nothing() -> None:
    async with listening(b"") as stage:
        stage.settle("one")
        (mark,) = stage.marks
        for other in (mark + event_feed.MOST_MARKS, mark - event_feed.MOST_MARKS):
            stage.feed.taken(other)
        assert stage.log == []


async def test_feed_counts_as_settled_when_the_supervisor_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_feed, "SETTLED_S", 0.01)
    async with listening(b"") as stage:
        stage.settle("one")
        stage.settle("two")
        await eventually(lambda: len(stage.log) == 2, "patience has ended")
        assert stage.log == ["one", "two"]
        stage.feed.taken(stage.marks[-1])
        assert stage.log == ["one", "two"]


async def test_nothing_is_called_once_the_feed_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_feed, "SETTLED_S", 0.0)
    async with listening(b"") as stage:
        stage.settle("one")
        stage.feed.close()
        await asyncio.sleep(0)
        assert stage.log == []
