"""The worker's end of the bridge, in front of a desk that is the test."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.eventually import eventually
from wspulse import Server
from wspulse.actors.apps.bridge import bridge
from wspulse.actors.mesh.mailbox import Mailbox
from wspulse.actors.mesh.message import DESK_SHARD, BridgeFrame, BridgeMark, BridgeNotice, BridgeQuestion, Message


class Desk:
    """Lets everybody in, and keeps the frames that come: whoever sent one waits until `take`."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self.notices: list[str] = []
        self.frames: list[asyncio.Future[None]] = []
        self.server: Server
        self.mark: asyncio.Future[None] | None = None
        """What a worker waits for that wants to know that all has arrived; None: it need not."""
        self._mailbox = Mailbox(self._listener, DESK_SHARD, 1, self._receive, lambda *_: None)
        self._mailbox.open()

    def close(self) -> None:
        self._mailbox.close()

    def _receive(self, message: Message) -> Any:
        match message:
            case BridgeQuestion():
                return {"room": "den", "connection": message.query["id"], "program": 1}
            case BridgeNotice():
                self.notices.append(f"{message.kind} {message.connection_id}")
            case BridgeFrame():
                self.frames.append(asyncio.get_running_loop().create_future())
                return self.frames[-1]
            case BridgeMark():
                return self.mark
        return None

    def take(self) -> None:
        self.frames.pop(0).set_result(None)


@asynccontextmanager
async def bridged(folder: Path) -> AsyncIterator[tuple[Desk, ClientConnection]]:
    desk = Desk(folder / "desk")
    server = bridge(str(folder / "desk"))
    desk.server = server
    async with server.serve() as running, connect(f"{running.url}?id=ada", compression=None) as client:
        yield desk, client
    desk.close()


def waits_for_an_end() -> int:
    """Tasks that wait for the end of a session."""
    return sum("wait_closed" in repr(task.get_coro()) for task in asyncio.all_tasks())


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wspulse.actors.apps.bridge.PATIENCE_S", 0.01)


async def test_session_that_ends_does_not_wait_for_its_frame_to_be_taken(tmp_path: Path) -> None:
    async with bridged(tmp_path) as (desk, client):
        await client.send('{"event":"said"}')
        await eventually(waits_for_an_end, "its handler waits")
        await client.close()
        await eventually(lambda: desk.notices == ["connected ada", "disconnected ada"], "its end is told")
        desk.take()


async def test_slow_frames_leave_nothing_that_waits(tmp_path: Path) -> None:
    async with bridged(tmp_path) as (desk, client):
        for _ in range(5):
            await client.send('{"event":"said"}')
            await eventually(waits_for_an_end, "its handler waits")
            desk.take()
            await eventually(lambda: not waits_for_an_end(), "nobody waits for the session's end")


async def test_session_that_is_to_move_waits_until_the_desk_has_its_frame(tmp_path: Path) -> None:
    """Its next worker speaks to the desk on another stream."""
    async with bridged(tmp_path) as (desk, client):
        server = desk.server
        await client.send('{"event":"said"}')
        await eventually(waits_for_an_end, "its handler waits")
        inbox = server._running().shard.sessions["ada"].inbox
        desk.mark = asyncio.get_running_loop().create_future()
        server._extensions[0].halted(inbox.connection)
        await eventually(lambda: not waits_for_an_end(), "it waits for the program no more")
        await asyncio.sleep(0.05)
        assert inbox.busy
        desk.mark.set_result(None)
        await eventually(lambda: not inbox.busy, "its handler has ended")
        assert len(desk.frames) == 1
        desk.take()
