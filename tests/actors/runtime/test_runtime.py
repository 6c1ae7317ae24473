"""One shard inside the current process: what its end and its odd cases do."""

from __future__ import annotations

import socket

import pytest

from wspulse import Server
from wspulse.actors.mesh.message import Drain


async def test_newcomer_is_refused_and_not_kept_waiting_when_the_server_has_closed() -> None:
    server = Server(lambda request: ("lobby", ""))
    async with server.serve() as running:
        await server.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((running.host, running.port), timeout=2)


async def test_message_that_no_shard_takes_is_logged_and_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(lambda request: ("lobby", ""))
    async with server.serve():
        server._running().receive(Drain())
    assert [vars(record)["message_type"] for record in caplog.records if record.levelname == "ERROR"] == ["Drain"]
