"""What a handler's calls leave to the loop runs in a context of the shard's own: that of the handler would live on with it, and
what runs in it would be taken for the handler's."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.http.asgi_peer import AsgiPeer
from tests.support.shards.shards import serve_shards
from tests.support.simulation.outside.small import server_options
from tests.support.simulation.world import World
from tests.support.wire.raw_peer import RawPeer, masked
from wspulse import Connection, Frame, Server
from wspulse.actors.mesh.placement import Placement
from wspulse.actors.runtime.event_feed import EventFeed
from wspulse.actors.wire.frames import TEXT


class Owner:
    """Whom a context belongs to."""


whose: ContextVar[Owner | None] = ContextVar("whose", default=None)


def note_strays(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What of wspulse is given to the loop in a context with an owner, from now on."""
    strays = set()
    loop = asyncio.get_running_loop()

    def noted(add: Callable[..., Any], place: int) -> Callable[..., Any]:
        def add_noted(*args: Any, context: Any = None, **others: Any) -> Any:
            callback = args[place]
            while isinstance(callback, partial):
                callback = callback.func
            owner = (copy_context() if context is None else context).get(whose)
            if owner is not None and str(getattr(callback, "__module__", "")).startswith("wspulse."):
                strays.add(callback.__qualname__)
            return add(*args, **others) if context is None else add(*args, context=context, **others)

        return add_noted

    for name, place in (("call_soon", 0), ("call_later", 1), ("call_at", 1), ("add_reader", 1), ("add_writer", 1)):
        monkeypatch.setattr(loop, name, noted(getattr(loop, name), place))
    return strays


def make_server(act: Callable[[Connection], Any]) -> Server:
    server = Server(lambda request: ("lobby", request.query["id"]), resume_window=1, publish_messages=True)

    @server.on_message
    async def on_message(connection: Connection, frame: Frame) -> None:
        if frame.event == "act":
            whose.set(Owner())
            await act(connection)

    return server


@pytest.mark.parametrize("count", [1, 2])
async def test_handler_that_calls_everything_leaves_nothing_of_its_context(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner: list[weakref.ref[Owner]] = []
    errors: list[BaseException] = []

    async def act(connection: Connection) -> None:
        found = whose.get()
        assert found is not None
        owner.append(weakref.ref(found))
        del found
        server = shards.servers[0]
        try:
            others = [each for each in await server.get_connections("lobby") if each.id != connection.id]
            assert len(others) == count
            for room in ("first", "second"):
                await connection.join(room)
                await server.broadcast(room, Frame("said"))
                await server.broadcast(room, Frame("said"), exclude=[connection.id])
                server.broadcast_nowait(room, Frame("said"))
                await connection.leave(room)
            for other in others:
                await server.send(other.id, Frame("said"))
                await other.join("first")
                with pytest.raises(TimeoutError):
                    await other.call(Frame("asked"), timeout_s=0.01)
                waits = asyncio.ensure_future(other.wait_closed())
                await server.presence("lobby")
                await server.kick(other.id)
                await waits
            await connection.send(Frame("done"))
        except BaseException as error:
            errors.append(error)

    async with serve_shards(lambda: make_server(act), count) as shards:
        placement = Placement(count)
        await eventually(lambda: len(shards.runtimes[0].up_shards) >= count - 1, "the first shard knows the others")
        backlogged = [True]
        EventFeed(shards.runtimes[0].shard, lambda _events: None, lambda: bool(backlogged and backlogged.pop())).watch(
            [b""]
        )
        peers = [await RawPeer.upgraded(shards.port, f"/ws?id={placement.new_id(shard)}") for shard in range(count)]
        strays = note_strays(monkeypatch)
        async with await RawPeer.upgraded(shards.port, f"/ws?id={placement.new_id(0)}") as peer:
            peer.writer.write(masked(TEXT, b'{"event":"act"}'))
            await eventually(lambda: errors or shards.connections == 1, "the others are kicked")
            await eventually(lambda: errors or not shards.runtimes[0].shard.working, "the handler has ended")
            await shards.servers[0].kick(shards.servers[0].local_connections()[0].id)
        assert errors == []
        assert strays == set()
        await eventually(lambda: not shards.runtimes[0].shard.unfinished, "the session has ended")
        gc.collect()
        assert owner[0]() is None
        for each in peers:
            await each.close()
        monkeypatch.undo()


def test_broadcast_that_leaves_some_out_is_written_in_nobodys_context() -> None:
    world = World(1, server_options(0.0, True, "kick", 4, 30.0, 6.0), frozenset(), None)
    with world.loop:
        world.connect("ann", "lobby")
        world.loop.run_until_idle()
        shard = world.shard
        seen: list[Owner | None] = []
        shard.rooms["lobby"].set_swift(shard.sessions["ann"], lambda _wire: seen.append(whose.get()))

        def handler() -> None:
            whose.set(Owner())
            shard.deliver_but("lobby", b"said", frozenset({"ben"}))

        copy_context().run(handler)
        assert seen == [None]


class NotingPeer(AsgiPeer):
    """Notes in whose context it is sent something."""

    async def _send(self, event: Any) -> None:
        event["owner"] = whose.get()
        await super()._send(event)


async def test_mounted_server_is_nobodys_whoever_connects_first() -> None:
    first, found = Owner(), []

    async def act(connection: Connection) -> None:
        await server.broadcast("lobby", Frame("said"), exclude=[connection.id])

    server = make_server(act)
    server.on_connect(lambda _connection: found.append(whose.get()))
    application = server.asgi()
    whose.set(first)
    async with NotingPeer(application, "id=ann") as ann:
        whose.set(None)
        await ann.gets(1)
        async with NotingPeer(application, "id=ben") as ben:
            await ben.gets(1)
            ben.say('{"event":"act"}')
            await ann.gets(2)
            # The server of ASGI is given what is sent in the context of its own connection, whoever has sent it.
            assert [each["owner"] for each in ann.sent] == [first, first]
            assert [each["owner"] for each in ben.sent] == [None]
    assert found == [None, None]
    await server.close()
