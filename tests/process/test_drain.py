"""Whole servers as processes: what is to be seen from outside while a server drains."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.support.processes.server_process import ServerProcess, serve_process, wait_until
from wspulse import Control
from wspulse.actors.mesh.placement import Placement

APP = """
import asyncio
from pathlib import Path
from wspulse import Server

server = Server(lambda request: ("lobby", request.query["id"]))

@server.on_disconnect
async def gone(connection, error):
    Path(f"draining-{connection.id}").touch()
    while not Path(f"go-{connection.id}").exists():
        await asyncio.sleep(0.005)

@server.on_stop
async def stop():
    Path(f"stopped-{server.shard}").touch()
"""


@contextmanager
def draining(folder: Path) -> Iterator[tuple[ServerProcess, list[str]]]:
    """A server that was told to end, in each of whose workers a callback runs until it is let go."""
    (folder / "app.py").write_text(APP)
    placement = Placement(2)
    ids = [placement.new_id(shard) for shard in range(2)]
    with serve_process("--app", "app:server", workers=2, cwd=folder) as server, ExitStack() as clients:
        try:
            for name in ids:
                clients.enter_context(connect(f"{server.url}?id={name}"))
            server.terminate()
            for name in ids:
                wait_until((folder / f"draining-{name}").exists, 5, "a callback runs")
            yield server, ids
        finally:
            for name in ids:
                (folder / f"go-{name}").touch()


def test_new_connection_during_the_drain_is_refused(tmp_path: Path) -> None:
    """Refused, and not left in a queue that nobody will accept from: a proxy then goes elsewhere at once."""
    with draining(tmp_path) as (server, _):
        for _ in range(20):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", server.port), timeout=5).close()


def test_drained_worker_stays_until_the_others_have_drained(tmp_path: Path) -> None:
    with draining(tmp_path) as (server, ids), Control(server.control) as control:

        def states() -> list[str]:
            return [worker.state for worker in control.stats().workers]

        pids = server.worker_pids()
        assert states() == ["draining", "draining"]
        (tmp_path / f"go-{ids[0]}").touch()
        wait_until(lambda: states() == ["drained", "draining"], 5, "the first worker has drained")
        assert server.worker_pids() == pids
        assert not (tmp_path / "stopped-0").exists()
        (tmp_path / f"go-{ids[1]}").touch()
        assert server.wait() == 0
        assert (tmp_path / "stopped-0").exists()
        assert (tmp_path / "stopped-1").exists()
