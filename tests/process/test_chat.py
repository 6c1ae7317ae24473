"""The main job on real input: clients of the `websockets` library, in different workers, talk in one room."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake

from tests.support.processes.server_process import ServerProcess, serve_process
from tests.support.wire.raw_peer import RawPeer, head, masked
from wspulse.actors.mesh.placement import Placement

DEADLINE_S = 30.0


async def member(server: ServerProcess, name: str, room: str) -> ClientConnection:
    return await connect(
        f"{server.url}?id={name}&room={room}", ping_interval=None, max_queue=None, open_timeout=DEADLINE_S
    )


async def talk_and_listen(server: ServerProcess, room: str, clients: int, frames: int) -> list[list[str]]:
    """Everybody joins, then everybody sends; what each one received, in its order."""
    members = await asyncio.gather(*(member(server, f"{room}-{number}", room) for number in range(clients)))

    async def one(number: int, socket: ClientConnection) -> list[str]:
        for turn in range(frames):
            await socket.send(json.dumps({"event": "said", "payload": [number, turn]}))
        async with asyncio.timeout(DEADLINE_S):
            return [str(await socket.recv()) for _ in range(clients * frames)]

    heard = await asyncio.gather(*(one(number, socket) for number, socket in enumerate(members)))
    await asyncio.gather(*(socket.close() for socket in members))
    return heard


@pytest.mark.race
@pytest.mark.parametrize("workers", [1, 4])
async def test_everybody_hears_everything_in_the_same_order(workers: int, race_rounds: int) -> None:
    clients, frames = 100, 10
    placement = Placement(workers)
    with serve_process("--send-buffer-size", "4096", workers=workers) as server:
        for turn in range(race_rounds):
            room = f"room{turn}"
            assert {placement.shard_of(f"{room}-{number}") for number in range(clients)} == set(range(workers))
            heard = await talk_and_listen(server, room, clients, frames)
            assert len(set(heard[0])) == clients * frames
            assert all(order == heard[0] for order in heard)


async def test_killed_worker_costs_the_clients_of_others_nothing() -> None:
    placement = Placement(4)
    with serve_process("--send-buffer-size", "4096", workers=4) as server:
        names = [f"c{number}" for number in range(40)]
        members = await asyncio.gather(*(member(server, name, "room") for name in names))
        survivors = [socket for name, socket in zip(names, members, strict=True) if placement.shard_of(name) != 2]
        victims = [socket for name, socket in zip(names, members, strict=True) if placement.shard_of(name) == 2]
        assert victims
        killed_at = 0.0

        async def talk() -> None:
            nonlocal killed_at
            for turn in range(100):
                for number, socket in enumerate(survivors):
                    await socket.send(json.dumps({"event": "said", "payload": [number, turn]}))
                if turn == 30:
                    os.kill(server.worker_pids()[2], signal.SIGKILL)
                    killed_at = time.monotonic()
                await asyncio.sleep(0)

        async def listen(socket: ClientConnection) -> list[str]:
            async with asyncio.timeout(DEADLINE_S):
                return [str(await socket.recv()) for _ in range(100 * len(survivors))]

        talking = asyncio.create_task(talk())
        heard = await asyncio.gather(*(listen(socket) for socket in survivors))
        await talking
        assert all(order == heard[0] for order in heard), "a survivor lost a frame"
        for socket in victims:
            async with asyncio.timeout(DEADLINE_S):
                await socket.wait_closed()
        # Accepted at once by the others; those of the dead shard as soon as its replacement is there.
        newcomers = await asyncio.gather(*(member(server, f"new{number}", "room") for number in range(20)))
        assert time.monotonic() - killed_at < DEADLINE_S
        await survivors[0].send(json.dumps({"event": "later"}))
        for socket in [*survivors, *newcomers]:
            assert json.loads(await asyncio.wait_for(socket.recv(), DEADLINE_S)) == {"event": "later"}
        for socket in [*survivors, *newcomers]:
            await socket.close()


@pytest.mark.race
async def test_upgrades_while_workers_are_killed_fail_only_for_sessions_of_the_victims(race_rounds: int) -> None:
    """Each id's shard is known: an upgrade whose shard and whose accepting worker lived through it must succeed."""
    placement = Placement(4)
    answered = failed = 0
    with serve_process("--app", "echo", workers=4) as server:
        gate = asyncio.Semaphore(64)
        kills: list[float] = []
        unexplained: list[str] = []

        async def one(number: int) -> None:
            nonlocal answered, failed
            name = f"up{number}"
            async with gate:
                started = time.monotonic()
                try:
                    async with await RawPeer.dial(server.port) as peer:
                        peer.writer.write(head(f"/ws?id={name}") + masked(1, b'{"event":"echo"}'))
                        assert (await peer.head()).startswith(b"HTTP/1.1 101 ")
                        assert (await peer.frame()) == (1, b'{"event":"echo"}')
                    answered += 1
                except (OSError, EOFError, InvalidHandshake) as error:
                    failed += 1
                    ended = time.monotonic()
                    if not any(started - 0.05 <= kill <= ended + 0.05 for kill in kills):
                        unexplained.append(f"{name} of shard {placement.shard_of(name)}: {error!r}")

        async def kill_workers() -> None:
            for turn in range(race_rounds):
                await asyncio.sleep(1.0)  # as often as a worker may die without ending the server
                pids = server.worker_pids()
                victim = turn % 4
                if victim in pids:
                    kills.append(time.monotonic())
                    os.kill(pids[victim], signal.SIGKILL)

        killing = asyncio.create_task(kill_workers())
        number = 0
        while not killing.done():
            await asyncio.gather(*(one(number + each) for each in range(200)))
            number += 200
        await killing
        assert kills
        assert not unexplained, "upgrades failed while no worker died"
        # Those that fail are the ones in the hands of a victim; each kill can only take what was under way.
        assert failed <= 64 * len(kills), f"{failed} of {answered + failed} failed at {len(kills)} kills"
        assert answered > failed
