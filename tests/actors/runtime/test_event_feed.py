"""The feed of events: what it makes of the errors of an application."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.support.eventually import eventually
from tests.support.wire.raw_peer import RawPeer, masked
from wspulse import Server
from wspulse.actors.mesh.lifecycle import Events
from wspulse.actors.mesh.message import Message
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
    assert told == [{"type": "Mute", "message": "its text cannot be had"}]
