"""Sessions of the bridge application that move while a program takes nothing, with two workers' ends of the bridge and its desk.

What a shard does for a move is the test's to do; the desk, its mailbox and both servers are real.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.eventually import eventually
from tests.support.sessions.fake_connection import FakeConnection
from wspulse import Connection, Frame, Server
from wspulse.actors.apps.bridge import bridge
from wspulse.actors.mesh.mailbox import Mailbox
from wspulse.actors.mesh.message import DESK_SHARD
from wspulse.supervisor.control.bridge.service import BridgeService
from wspulse.supervisor.control.route import PeerRoute
from wspulse.supervisor.protocol.wire import read_request

ROUTE = PeerRoute(b"\0one", ())


class Arrived(FakeConnection):
    """The session in the worker to which it has moved."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection.id, connection.room_id)
        self.state.update(connection.state)
        self.ended = asyncio.Event()

    async def wait_closed(self) -> None:
        await self.ended.wait()


class Bridge:
    """The desk, a program that takes as much as it is let, and the worker that clients connect to."""

    def __init__(self, path: Path) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        self.path = str(path)
        self.told: list[Any] = []
        self.desk = BridgeService(self._send, lambda _route: False)
        self._mailbox = Mailbox(listener, DESK_SHARD, 1, self.desk.receive, lambda *_: None)
        self._mailbox.open()
        self.server = bridge(self.path)

    def _send(self, _route: PeerRoute, data: bytes) -> None:
        message = msgspec.json.decode(data)
        if message["op"] == "connect":
            identity = {"room": "den", "connection": message["args"]["query"]["id"]}
            answer = {"id": message["id"], "ok": True, "result": identity}
            asyncio.get_running_loop().call_soon(self.desk.answered, ROUTE, read_request(msgspec.json.encode(answer)))
        elif message["op"] == "message":
            self.told.append(message["args"]["frame"]["payload"])
        elif message["op"] != "ping":
            self.told.append(message["op"])

    def says(self, op: str, **args: Any) -> None:
        self.desk.take(ROUTE, read_request(msgspec.json.encode({"op": op, "args": args})))

    def close(self) -> None:
        self.desk.close()
        self._mailbox.close()

    @property
    def connection(self) -> Connection:
        (connection,) = self.server.local_connections()
        return connection

    @property
    def is_busy(self) -> bool:
        return self.server._running().shard.sessions["ada"].inbox.busy


@asynccontextmanager
async def bridged(folder: Path) -> AsyncIterator[tuple[Bridge, ClientConnection]]:
    """A program with room for the news of the connection and no more, and a client."""
    made = Bridge(folder / "desk")
    made.says("attach", window=1)
    async with made.server.serve() as running, connect(f"{running.url}?id=ada", compression=None) as client:
        await eventually(lambda: made.told == ["connected"], "the program knows the client")
        yield made, client
    made.close()


@asynccontextmanager
async def another(made: Bridge) -> AsyncIterator[Server]:
    """Another worker, at another seat."""
    server = bridge(made.path)
    async with server.serve():
        callbacks: Any = server._extensions[0]
        callbacks._seat = 1
        yield server


async def test_session_that_is_to_move_leaves_its_frame_with_the_desk_and_keeps_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wspulse.actors.apps.bridge.PATIENCE_S", 0.01)
    async with bridged(tmp_path) as (made, client), another(made) as target:
        await client.send('{"payload":1}')
        await eventually(lambda: made.is_busy, "its handler waits")
        left = made.connection
        made.server._extensions[0].halted(left)
        await eventually(lambda: not made.is_busy, "its handler has ended")
        assert made.told == ["connected"]
        made.server._extensions[0].departed(left)
        arrived = Arrived(left)
        target._extensions[0].arrived(arrived)
        waiting = asyncio.ensure_future(target.handlers["on_transfer_in"](arrived))
        await asyncio.wait({waiting}, timeout=0.05)
        assert not waiting.done(), "the desk has not sent what it has"
        made.says("credit", count=1)
        await waiting
        assert made.told == ["connected", 1]
        made.desk.shard_down(0)
        made.says("credit", count=9)
        await target.handlers["on_message"](arrived, Frame("", msgspec.Raw(b"2")))
        assert made.told == ["connected", 1, 2]
        assert arrived.state.keys() == {"wspulse.program"}


async def test_session_moves_on_although_nothing_was_taken_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wspulse.actors.apps.bridge.PATIENCE_S", 0.01)
    async with bridged(tmp_path) as (made, client), another(made) as target:
        await client.send('{"payload":1}')
        await eventually(lambda: made.is_busy, "its handler waits")
        left = made.connection
        made.server._extensions[0].halted(left)
        await eventually(lambda: not made.is_busy, "its handler has ended")
        arrived = Arrived(left)
        callbacks: Any = target._extensions[0]
        callbacks.arrived(arrived)
        waiting = asyncio.ensure_future(target.handlers["on_transfer_in"](arrived))
        await eventually(lambda: callbacks._waits, "it waits for the desk")
        callbacks.halted(arrived)
        await waiting
        callbacks.departed(arrived)
        assert arrived.state["wspulse.left"], "the next worker waits for it"
        assert not callbacks._halted
        assert not callbacks._waits
        made.says("credit", count=1)
        assert made.told == ["connected", 1]


async def test_session_with_nothing_at_the_desk_asks_nobody_when_it_arrives(tmp_path: Path) -> None:
    async with bridged(tmp_path) as (made, _client), another(made) as target:
        arrived = Arrived(made.connection)
        callbacks: Any = target._extensions[0]
        await target.handlers["on_transfer_in"](arrived)
        assert not callbacks._asks


async def test_session_that_stays_after_all_waits_for_its_next_frame_to_be_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wspulse.actors.apps.bridge.PATIENCE_S", 0.01)
    async with bridged(tmp_path) as (made, client):
        callbacks: Any = made.server._extensions[0]
        callbacks.halted(made.connection)
        callbacks.returned(made.connection)
        await client.send('{"payload":1}')
        await eventually(lambda: callbacks._waits, "its handler waits")
        made.says("credit", count=1)
        await eventually(lambda: not made.is_busy, "its handler has ended")
        assert made.told == ["connected", 1]
