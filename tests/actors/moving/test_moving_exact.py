"""Exact sessions that move: what is not acknowledged, what was pushed out, and what is owed go with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.support.contract.exact_client import ExactClient
from tests.support.eventually import eventually
from tests.support.shards.moving import FrozenBatch
from tests.support.shards.moving_stage import moving_stage
from wspulse import Frame
from wspulse.actors.mesh.lifecycle import MovedOut
from wspulse.actors.moving.arrival import Arrival
from wspulse.actors.moving.batch import Batch
from wspulse.actors.sessions.shard import Shard


async def expect_numbers(client: ExactClient, numbers: range) -> None:
    for number in numbers:
        assert await client.expect("n") == number


class BehindCuts:
    """What a room gets in the very step in which a cut comes, behind it, in each process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.numbers = 0
        wires: dict[tuple[int, int], list[bytes]] = {}

        def wires_of(shard: Shard, cut: tuple[int, int]) -> list[bytes]:
            if cut not in wires:
                wires[cut] = [shard.encode(Frame("n", self.numbers + n)) for n in range(5)]
                self.numbers += 5
            return wires[cut]

        def freeze(batch: Batch, of: Callable[[Batch], None] = Batch.freeze) -> None:
            of(batch)
            for wire in wires_of(batch._shard, (batch._shard.incarnation, batch.number)):
                batch._shard.deliver("lobby", wire)

        def cut(arrival: Arrival, number: int, of: Callable[[Arrival, int], None] = Arrival._cut) -> None:
            of(arrival, number)
            for wire in wires_of(arrival._shard, (arrival.source, number)):
                arrival._shard.deliver("lobby", wire)

        monkeypatch.setattr(Batch, "freeze", freeze)
        monkeypatch.setattr(Arrival, "_cut", cut)


@pytest.mark.parametrize("rooms", [1, 2])
async def test_counts_are_right_when_rooms_speak_right_behind_the_cut(
    rooms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with moving_stage(2) as stage:
        (one,) = stage.ids(1)
        async with ExactClient(f"{stage.shards.url}?id={one}") as client:
            if rooms == 2:
                await client.send("join", "kitchen")
                assert await client.expect("done") == "kitchen"
            behind = BehindCuts(monkeypatch)
            heard = 0
            for turn in range(8):
                assert isinstance(await stage.move(back=bool(turn % 2)), MovedOut)
                assert behind.numbers == heard + 5
                await expect_numbers(client, range(heard, heard + 5))
                heard += 5
                if turn % 3 == 0:
                    await client.acknowledge()
            await client.acknowledge()
            await client.send("n", "are you there")
            assert await client.expect("done") == "are you there"
            client.drop()
            first = await client.dial()
            assert (first["recovered"], first["lost"]) == (True, 0)
            await client.send("n", "and now")
            assert await client.expect("done") == "and now"


async def test_what_is_not_acknowledged_is_sent_again_by_the_target() -> None:
    async with moving_stage(2) as stage:
        (one,) = stage.ids(1)
        async with ExactClient(f"{stage.shards.url}?id={one}") as client:
            for number in range(6):
                await stage.shards.servers[number % 2].send(one, Frame("n", number))
            await expect_numbers(client, range(3))
            assert isinstance(await stage.move(), MovedOut)
            # It has read three, and loses the rest with its line.
            client.drop()
            await eventually(lambda: stage.of(one, "drop"), "its transport is lost")
            await stage.shards.servers[0].send(one, Frame("n", 6))
            assert isinstance(await stage.move(back=True), MovedOut)
            first = await client.dial()
            assert (first["recovered"], first["lost"], first["received"]) == (True, 0, 0)
            await expect_numbers(client, range(3, 7))


async def test_what_was_pushed_out_before_a_move_or_after_it_is_told() -> None:
    async with moving_stage(2, options=lambda _seat: {"send_buffer_size": 4}) as stage:
        (one,) = stage.ids(1)
        async with ExactClient(f"{stage.shards.url}?id={one}") as client:
            client.drop()
            await eventually(lambda: stage.of(one, "drop"), "its transport is lost")
            server = stage.shards.servers[0]
            for number in range(7):
                await server.send(one, Frame("n", number))
            assert isinstance(await stage.move(), MovedOut)
            for number in range(7, 9):
                await server.send(one, Frame("n", number))
            first = await client.dial()
            assert (first["recovered"], first["lost"]) == (True, 5)
            await expect_numbers(client, range(5, 9))


async def test_client_that_reads_nothing_is_told_what_was_pushed_out_and_gets_the_rest_in_the_target() -> None:
    async with moving_stage(2, options=lambda _seat: {"send_buffer_size": 4, "write_wait": 20}) as stage:
        (one,) = stage.ids(1)
        async with ExactClient(f"{stage.shards.url}?id={one}") as client:
            await client.send("n", 0)
            assert await client.expect("done") == 0
            client.socket.transport.pause_reading()
            server, sent = stage.shards.servers[0], 0
            (session,) = stage.source.shard.sessions.values()
            while not session.dropped_frames:
                await server.broadcast("lobby", Frame("n", [sent, "x" * 200_000]))
                sent += 1
                await asyncio.sleep(0)
            for turn in range(3):
                assert isinstance(await stage.move(back=bool(turn % 2)), MovedOut)
            await server.broadcast("lobby", Frame("n", [sent, ""]))
            client.socket.transport.resume_reading()
            numbers: list[int] = []
            while not numbers or numbers[-1] < sent:
                number, _ = await client.expect("n")
                numbers.append(number)
            assert numbers == sorted(set(numbers))
            assert len(numbers) + sum(client.lost) == sent + 1
            assert sum(client.lost) > 0
            await client.acknowledge()
            client.drop()
            first = await client.dial()
            assert (first["recovered"], first["lost"]) == (True, 0)


async def test_what_was_taken_right_before_a_move_is_acknowledged_soon_after_it() -> None:
    async with moving_stage(2) as stage:
        (one,) = stage.ids(1)
        async with ExactClient(f"{stage.shards.url}?id={one}") as client:
            await client.send("n", 1)
            await eventually(lambda: stage.of(one, "n"), "it is handled")
            assert isinstance(await stage.move(), MovedOut)
            async with asyncio.timeout(2):
                await client.acked(1)


async def test_frames_that_wait_for_their_handlers_are_handled_once_though_their_client_sends_them_again() -> None:
    async with moving_stage(2) as stage:
        (one,) = stage.ids(1)
        stage.gates["it"] = asyncio.Event()
        async with ExactClient(f"{stage.shards.url}?id={one}") as client:
            await client.send("wait", "it")
            for number in range(5):
                await client.send("n", number)
            await eventually(lambda: stage.of(one, "wait"), "it is being handled")
            held = FrozenBatch(stage.source)
            moving = stage.move()
            await asyncio.sleep(0.05)
            client.drop()
            stage.gates["it"].set()
            await held.frozen()
            coming = asyncio.create_task(client.dial())
            await asyncio.sleep(0.02)
            held.go_on()
            assert isinstance(await moving, MovedOut)
            await coming
            assert await client.expect("done") == "it"
            assert [await client.expect("done") for _ in range(5)] == list(range(5))
            assert [given for _, _, given in stage.of(one, "wait", "n")] == ["it", *range(5)]
