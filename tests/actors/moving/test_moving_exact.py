"""Exact sessions that move: what is not acknowledged, what was pushed out, and what is owed go with them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.support.contract.exact_client import ExactClient
from tests.support.eventually import eventually
from tests.support.shards.moving import FrozenBatch
from tests.support.shards.moving_stage import MovingStage, moving_stage
from wspulse import Frame
from wspulse.actors.mesh.lifecycle import MovedOut


async def expect_numbers(client: ExactClient, numbers: range) -> None:
    for number in numbers:
        assert await client.expect("n") == number


def burst_behind_cuts(stage: MovingStage, numbers: list[int], *, frames: int) -> None:
    """So that all of it comes in one step with the cut."""
    for runtime in (stage.source, stage.target):
        cut = runtime.shard.bus.cut  # type: ignore[attr-defined]

        def cut_and_burst(number: int, cut: Any = cut, runtime: Any = runtime) -> None:
            cut(number)
            for _ in range(frames):
                runtime._server.broadcast_nowait("lobby", Frame("n", numbers[0]))
                numbers[0] += 1
            time.sleep(0.02)

        runtime.shard.bus.cut = cut_and_burst  # type: ignore[attr-defined]


@pytest.mark.parametrize("rooms", [1, 2])
async def test_counts_are_right_when_rooms_speak_right_behind_the_cut(rooms: int) -> None:
    async with moving_stage(2) as stage:
        (one,) = stage.ids(1)
        async with ExactClient(f"{stage.shards.url}?id={one}") as client:
            if rooms == 2:
                await client.send("join", "kitchen")
                assert await client.expect("done") == "kitchen"
            numbers = [0]
            burst_behind_cuts(stage, numbers, frames=5)
            heard = 0
            for turn in range(8):
                assert isinstance(await stage.move(back=bool(turn % 2)), MovedOut)
                await expect_numbers(client, range(heard, numbers[0]))
                heard = numbers[0]
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
