"""The bridge while workers are replaced, for real, and a program takes little or nothing: each frame comes once, in order."""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.eventually import eventually
from tests.support.shards.conductor import Conductor
from tests.support.shards.shards import Shards, serve_shards
from tests.support.wire.raw_peer import RawPeer, masked
from wspulse.actors.apps.bridge import bridge
from wspulse.actors.mesh.lifecycle import MovedOut
from wspulse.actors.mesh.mailbox import Mailbox
from wspulse.actors.mesh.message import DESK_SHARD
from wspulse.actors.wire.frames import TEXT
from wspulse.supervisor.control.bridge.service import BridgeService
from wspulse.supervisor.control.route import PeerRoute
from wspulse.supervisor.protocol.wire import read_request

ROUTE = PeerRoute(b"\0one", ())
FRAMES = 40


class Program:
    """The desk, and a program that keeps what it is told."""

    def __init__(self, folder: Path) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(folder / "desk"))
        listener.listen()
        self.desk = BridgeService(self._send, lambda _route: False)
        self._mailbox = Mailbox(listener, DESK_SHARD, 1, self.desk.receive, lambda *_: None)
        self._mailbox.open()
        self.told: dict[str, list[Any]] = defaultdict(list)

    def _send(self, _route: PeerRoute, data: bytes) -> None:
        message = msgspec.json.decode(data)
        op, args = message["op"], message.get("args", {})
        if op == "connect":
            identity = {"room": "den", "connection": args["query"]["id"]}
            answer = read_request(msgspec.json.encode({"id": message["id"], "ok": True, "result": identity}))
            asyncio.get_running_loop().call_soon(self.desk.answered, ROUTE, answer)
        elif op == "message":
            self.told[args["connection"]].append(args["frame"]["payload"])
        elif op != "ping":
            self.told[args["connection"]].append(op)

    def says(self, op: str, **args: Any) -> None:
        self.desk.take(ROUTE, read_request(msgspec.json.encode({"op": op, "args": args})))

    def close(self) -> None:
        self.desk.close()
        self._mailbox.close()


@asynccontextmanager
async def bridged(folder: Path, window: int) -> AsyncIterator[tuple[Shards, Program, dict[str, RawPeer]]]:
    """Two workers, a program and four clients in each worker."""
    program = Program(folder)
    program.says("attach", window=window)
    async with serve_shards(lambda: bridge(str(folder / "desk")), 2) as shards, AsyncExitStack() as stack:
        ids = [shards.runtimes[0].placement.new_id(number) for number in (0, 1) for _ in range(4)]
        peers = {name: await RawPeer.upgraded(shards.port, f"/ws?id={name}") for name in ids}
        for peer in peers.values():
            stack.push_async_callback(peer.close)
        await eventually(lambda: len(program.told) == len(ids), "the program knows them all")
        yield shards, program, peers
    program.close()


def say(peers: dict[str, RawPeer], numbers: range) -> None:
    for peer in peers.values():
        for number in numbers:
            peer.writer.write(masked(TEXT, b'{"payload":%d}' % number))


async def reload_all(shards: Shards, program: Program) -> None:
    conductor = Conductor(shards)
    for number in (0, 1):
        seat = shards.runtimes[number].shard.seat
        outcome = await conductor.reload(number, handover_timeout_s=5.0)
        assert isinstance(outcome, MovedOut)
        assert outcome.drained == 0
        program.desk.shard_down(seat)


@pytest.mark.parametrize("window", [8, 16, 100_000])
async def test_frames_of_clients_reach_their_program_in_order_through_reloads(tmp_path: Path, window: int) -> None:
    """With the smallest window nothing is taken for as long as it lasts, with the next one a little, with the last one all."""
    async with bridged(tmp_path, window) as (shards, program, peers):
        for round_number in range(3):
            say(peers, range(round_number * 10, round_number * 10 + 10))
            await reload_all(shards, program)
            if window == 16:
                program.says("credit", count=3)
        say(peers, range(30, FRAMES))
        program.says("credit", count=100_000)

        def renewed() -> bool:
            program.says("credit", count=100_000)
            return all(told[-1] == FRAMES - 1 for told in program.told.values())

        await eventually(renewed, "all were taken", 20)
        for told in program.told.values():
            assert told == ["connected", *range(FRAMES)]
        assert sum(runtime.connections for runtime in shards.runtimes) == len(peers)


async def test_clients_move_and_stay_while_no_program_is_attached(tmp_path: Path) -> None:
    async with bridged(tmp_path, 100) as (shards, program, peers):
        program.says("detach")
        say(peers, range(10))
        await reload_all(shards, program)
        program.says("attach", window=1000)
        await eventually(lambda: all(told[-1] == 9 for told in program.told.values()), "all were taken", 20)
        for told in program.told.values():
            assert told == ["connected", "connected", *range(10)]
