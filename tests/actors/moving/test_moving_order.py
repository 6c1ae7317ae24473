"""What members of rooms and single clients get while their sessions move: everything once, in the one order of each room."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count

import pytest

from tests.support.eventually import eventually
from tests.support.shards.conductor import Conductor
from tests.support.shards.moving import Listener, listening
from tests.support.shards.moving_stage import moving_stage
from tests.support.shards.shards import Shards, serve_shards
from wspulse import Connection, Frame, Server
from wspulse.actors.mesh.lifecycle import MovedOut
from wspulse.actors.mesh.placement import SLOTS
from wspulse.actors.moving.batch import Batch
from wspulse.actors.runtime.runtime import ShardRuntime

ROOMS = ("lobby", "left", "right", "kitchen")


def roomy() -> Server:
    server = Server(
        lambda request: (request.query.get("room", "lobby"), request.query["id"]),
        resume_window=5,
        max_message_size=65536,
        send_buffer_size=4096,
    )

    @server.on_message
    async def on_message(connection: Connection, frame: Frame) -> None:
        if frame.event == "join":
            await connection.join(frame.decode(str))
        await connection.send(Frame("done", frame.decode()))

    return server


def ids_at(shards: Shards, seat: int, number: int) -> list[str]:
    placement = shards.runtimes[0].placement
    return [placement.new_id(seat) for _ in range(number)]


def _has_joined(listener: Listener, rooms: int) -> bool:
    return len(listener.direct) == rooms


async def members(shards: Shards, found: list[Listener]) -> None:
    """Have each be in its first room and in some others."""
    for number, listener in enumerate(found):
        for room in ROOMS[1 : 1 + number % len(ROOMS)]:
            listener.say("join", room)
        await listener.until(partial(_has_joined, listener, number % len(ROOMS)), "it has joined")
        listener.direct.clear()


class Burst:
    """Broadcasts to all rooms from all processes, right behind each cut, and a loop that is busy before it comes back."""

    def __init__(self, shards: Shards) -> None:
        self.shards = shards
        self.numbers = count()
        self.sent: Counter[str] = Counter()
        self.excluded: list[tuple[str, str, int]] = []
        """The room, who was left out, and the frame."""

    def behind_cuts_of(self, runtime: ShardRuntime) -> None:
        bus = runtime.shard.bus
        cut = bus.cut  # type: ignore[attr-defined]

        def cut_and_burst(number: int) -> None:
            self.broadcast(3)
            cut(number)
            self.broadcast(5)
            # Behind the publishing of this turn the loop is busy, so that all that comes is taken in one step.
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, time.sleep, 0.03)

        bus.cut = cut_and_burst  # type: ignore[attr-defined]

    def broadcast(self, times: int, exclude: str | None = None) -> None:
        for _ in range(times):
            for server in self.shards.servers:
                for room in ROOMS:
                    number = next(self.numbers)
                    if exclude is not None:
                        self.excluded.append((room, exclude, number))
                    server.broadcast_nowait(
                        room, Frame("n", number, room=room), **({} if exclude is None else {"exclude": [exclude]})
                    )
                    self.sent[room] += 1


async def test_members_hear_every_room_in_its_one_order_when_they_move_back_and_forth_behind_bursts() -> None:
    async with serve_shards(roomy, 3) as shards:
        conductor = Conductor(shards)
        source, target, third = shards.runtimes
        burst = Burst(shards)
        burst.behind_cuts_of(source)
        burst.behind_cuts_of(target)
        movers = ids_at(shards, source.shard.seat, 12)
        targets = {each: f"/ws?id={each}" for each in movers}
        watchers = ids_at(shards, third.shard.seat, 4)
        targets |= {each: f"/ws?id={each}&room={room}" for each, room in zip(watchers, ROOMS, strict=True)}
        async with listening(shards.port, targets) as found:
            moving, watching = found[:12], found[12:]
            await members(shards, moving)
            for turn in range(40):
                before = (source, target)[turn % 2]
                after = (target, source)[turn % 2]
                outcome = conductor.move(before, dict.fromkeys(range(SLOTS), after.shard.seat), leaves=False)
                moved = asyncio.create_task(outcome)
                excluded = movers[turn % 12]
                while not moved.done():
                    burst.broadcast(1)
                    burst.broadcast(1, excluded)
                    await asyncio.sleep(0.001)
                result = await moved
                assert isinstance(result, MovedOut), result
                assert result.moved == 12
            for listener, room in zip(watching, ROOMS, strict=True):
                await listener.until(partial(listener.has, room, burst.sent[room]), "it has heard all")
            orders = {room: listener.rooms[room] for listener, room in zip(watching, ROOMS, strict=True)}
            left_out: dict[tuple[str, str], set[int]] = {}
            for room, who, number in burst.excluded:
                left_out.setdefault((room, who), set()).add(number)
            for number, listener in enumerate(moving):
                for room in ROOMS[: 1 + number % len(ROOMS)]:
                    out = left_out.get((room, listener.id), set())
                    expected = [each for each in orders[room] if each not in out]
                    await listener.until(partial(listener.has, room, len(expected)), "it has heard all")
                    assert listener.rooms[room] == expected
                assert set(listener.rooms) == set(ROOMS[: 1 + number % len(ROOMS)])


async def test_what_a_callback_says_behind_the_cut_goes_before_what_is_said_in_the_target(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The bus may take it after what the target says: so the session leaves with a later cut."""
    left: list[list[str]] = []

    def freeze(batch: Batch, of: Callable[[Batch], None] = Batch.freeze) -> None:
        of(batch)
        left.append([*batch._frozen])

    monkeypatch.setattr(Batch, "freeze", freeze)
    async with moving_stage() as stage:
        (one,) = stage.ids(1)
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}):
            await eventually(lambda: one in stage.connections, "it is connected")
        await eventually(lambda: stage.of(one, "drop"), "it is away")
        bus = stage.source.shard.bus
        cut = bus.cut  # type: ignore[attr-defined]
        cuts: list[int] = []
        bus.cut = cuts.append  # type: ignore[attr-defined]
        moving = stage.move()
        await eventually(lambda: cuts, "it is chosen")
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}) as (listener,):
            await eventually(lambda: stage.of(one, "restore"), "it is back")
            bus.cut = cut  # type: ignore[attr-defined]
            cut(cuts[0])
            assert isinstance(await moving, MovedOut)
            assert left == [[], [one]]
            listener.say("n", 1)
            await listener.until(listener.has_an_answer, "it is served")
            assert [each[0] for each in stage.of(one)] == [0, 0, 0, 1]
