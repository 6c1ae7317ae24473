"""A server whose sessions say what happens to them, in processes of `Shards` between which they move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.support.shards.conductor import Conductor
from tests.support.shards.shards import Shards, serve_shards
from wspulse import Connection, Frame, Server
from wspulse.actors.mesh.lifecycle import MovedOut, MoveFailed
from wspulse.actors.mesh.placement import SLOTS
from wspulse.actors.runtime.runtime import ShardRuntime

__all__ = ["MovingStage", "moving_stage"]


class MovingStage:
    """`shards`, of which the first is the source and the second the target of moves; `log` has what callbacks were called, of
    all processes, as (seat, callback, id, what it was given)."""

    def __init__(self) -> None:
        self.shards: Shards
        self.conductor: Conductor
        self.log: list[tuple[int, str, str, Any]] = []
        self.connections: dict[str, Connection] = {}
        """Those that the source's application has kept, by id."""
        self.gates: dict[str, asyncio.Event] = {}
        """A handler of "wait" waits for that of its payload."""

    @property
    def source(self) -> ShardRuntime:
        return self.shards.runtimes[0]

    @property
    def target(self) -> ShardRuntime:
        return self.shards.runtimes[1]

    def ids(self, number: int, seat: int = 0) -> list[str]:
        placement = self.source.placement
        return [placement.new_id(seat) for _ in range(number)]

    def of(self, connection_id: str, *callbacks: str) -> list[tuple[int, str, Any]]:
        """What was called of one session."""
        return [
            (seat, callback, given)
            for seat, callback, found, given in self.log
            if found == connection_id and (not callbacks or callback in callbacks)
        ]

    def move(self, handover_timeout_s: float = 10.0, *, back: bool = False) -> asyncio.Task[MovedOut | MoveFailed]:
        """Have all that the source has go to the target, which both go on."""
        ends = (self.target, self.source) if back else (self.source, self.target)
        targets = dict.fromkeys(range(SLOTS), ends[1].shard.seat)
        return asyncio.create_task(self.conductor.move(ends[0], targets, handover_timeout_s, leaves=False))

    def assert_nothing_is_left(self, *, sessions: int | None = None) -> None:
        """Of moves, in any process."""
        for runtime in self.shards.seats.values():
            shard = runtime.shard
            assert shard.halting is None
            assert not any(room.keepers for room in shard.rooms.values())
            assert not any(room.joiners for room in shard.rooms.values())
            if shard.transit is not None:
                # The source's stream to the target stays until the plan's end is told.
                assert not any(len(waiting) for waiting in shard.transit._waitings())  # type: ignore[attr-defined]
        if sessions is not None:
            assert self.shards.connections == sessions


def _make(stage: MovingStage, made: list[Server], options: dict[str, Any]) -> Server:
    seat = len(made)
    server = Server(
        lambda request: (request.query.get("room", "lobby"), request.query["id"]),
        **{"resume_window": 5, "max_message_size": 1 << 24, "send_buffer_size": 4096, **options},
    )
    made.append(server)
    note = stage.log.append

    @server.on_connect
    def on_connect(connection: Connection) -> None:
        note((seat, "connect", connection.id, None))
        stage.connections[connection.id] = connection

    @server.on_message
    async def on_message(connection: Connection, frame: Frame) -> None:
        payload = frame.decode()
        note((seat, frame.event, connection.id, payload))
        match frame.event:
            case "join":
                await connection.join(payload)
            case "wait":
                await stage.gates[payload].wait()
            case "sleep":
                await asyncio.sleep(payload)
            case "set":
                connection.state.update(payload)
        await connection.send(Frame("done", payload))

    @server.on_disconnect
    def on_disconnect(connection: Connection, error: BaseException | None) -> None:
        note((seat, "disconnect", connection.id, error))

    @server.on_transport_drop
    def on_transport_drop(connection: Connection, error: BaseException | None) -> None:
        note((seat, "drop", connection.id, error))

    @server.on_transport_restore
    def on_transport_restore(connection: Connection) -> None:
        note((seat, "restore", connection.id, None))

    return server


@asynccontextmanager
async def moving_stage(
    count: int = 2,
    change: Callable[[Server, int], object] = lambda _server, _seat: None,
    options: Callable[[int], dict[str, Any]] = lambda _seat: {},
) -> AsyncIterator[MovingStage]:
    """`count` processes; `change(server, n)` is given the declaration of each, the first one first, and `options(n)` are its."""
    stage = MovingStage()
    made: list[Server] = []

    def make() -> Server:
        seat = len(made)
        server = _make(stage, made, options(seat))
        change(server, seat)
        return server

    async with serve_shards(make, count) as shards:
        stage.shards = shards
        stage.conductor = Conductor(shards)
        yield stage
