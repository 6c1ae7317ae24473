"""What doc/howto/reload.md advises works: its programs, with sessions that move."""

from __future__ import annotations

import asyncio
import json
import types
from pathlib import Path
from typing import Any

import pytest

from tests.support.documents.blocks import blocks
from tests.support.eventually import eventually
from tests.support.shards.conductor import Conductor
from tests.support.shards.shards import serve_shards
from tests.support.wire.raw_peer import RawPeer
from wspulse import Server
from wspulse.actors.mesh.lifecycle import MovedOut

DOCUMENT = Path(__file__).parents[1] / "doc" / "howto" / "reload.md"


class Processes:
    """A program of the document, loaded anew for each process."""

    def __init__(self, file_name: str) -> None:
        (self._block,) = [block for block in blocks(DOCUMENT, "python") if block.file_name == file_name]
        self.modules: list[Any] = []

    def load(self) -> Server:
        module: Any = types.ModuleType(f"process_{len(self.modules)}")
        exec(compile(self._block.source, str(self._block.file_name), "exec"), vars(module))
        self.modules.append(module)
        server = module.server
        assert isinstance(server, Server)
        return server


async def number_of(peer: RawPeer, event: str) -> int:
    _, payload = await peer.frame()
    frame = json.loads(payload)
    assert frame["event"] == event
    return int(frame.get("payload", 0))


async def test_registry_and_tasks_of_the_document_go_over_with_their_sessions() -> None:
    processes = Processes("lobby.py")
    async with serve_shards(processes.load, 2) as shards:
        name = shards.runtimes[0].placement.new_id(0)
        peer = await RawPeer.upgraded(shards.port, f"/ws?id={name}")
        assert await number_of(peer, "seconds") == 1
        assert [list(module.players) for module in processes.modules] == [[name], []]
        assert isinstance(await Conductor(shards).reload(0), MovedOut)
        assert [list(module.players) for module in processes.modules] == [[], [], [name]]
        assert [list(module.clocks) for module in processes.modules] == [[], [], [name]]
        assert await number_of(peer, "seconds") == 2
        await peer.close()
        await eventually(lambda: not processes.modules[2].players, "it has left")


async def test_one_ticker_at_a_time_and_the_next_one_takes_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    processes = Processes("ticker.py")
    ticks: list[int] = []

    def load() -> Server:
        server = processes.load()
        module, number = processes.modules[-1], len(processes.modules) - 1
        module.LOCK = tmp_path / "lock"
        broadcast = server.broadcast

        async def noted(*given: Any) -> None:
            ticks.append(number)
            await broadcast(*given)

        monkeypatch.setattr(server, "broadcast", noted)
        return server

    async with serve_shards(load, 2) as shards:
        peer = await RawPeer.upgraded(shards.port, f"/ws?id={shards.runtimes[0].placement.new_id(0)}")
        await number_of(peer, "tick")
        assert set(ticks) == {0}
        assert isinstance(await Conductor(shards).reload(0), MovedOut)
        async with asyncio.timeout(10):
            while 2 not in ticks:
                await number_of(peer, "tick")
        assert ticks == sorted(ticks), "the next one waits for the end of the one before it"
        await peer.close()
