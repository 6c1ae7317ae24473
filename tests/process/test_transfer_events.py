"""Events of sessions that move, which two processes tell: in the order in which they happened."""

from __future__ import annotations

import json
import os
import signal
from contextlib import ExitStack
from pathlib import Path

from websockets.sync.client import connect

from tests.support.processes.server_process import serve_process, wait_until
from wspulse import Control

APP = """
from wspulse import Server

server = Server(lambda request: ("lobby", request.query["id"]), publish_messages=True)

@server.on_message
async def answer(connection, frame):
    await connection.send(frame)
"""


def test_events_of_a_session_that_moves_under_load_keep_their_order(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    with (
        serve_process("--app", "app:server", workers=2, cwd=tmp_path) as server,
        Control(server.control) as control,
        control.events("connect.", "message.", "transfer.", "disconnect.", timeout=20) as events,
        ExitStack() as stack,
    ):
        names = ("ann", "bob", "cem")
        clients = {name: stack.enter_context(connect(f"{server.url}?id={name}")) for name in names}
        number = 0

        def say() -> None:
            nonlocal number
            for client in clients.values():
                client.send(json.dumps({"event": "say", "payload": number}))
            for client in clients.values():
                assert json.loads(client.recv(timeout=10))["payload"] == number
            number += 1

        def reloaded() -> bool:
            say()
            return "the server has been reloaded" in server.stderr()

        say()
        os.kill(server.pid, signal.SIGHUP)
        wait_until(reloaded, 60, "both workers are other ones")
        for client in clients.values():
            client.close()
        told: dict[str, list[object]] = {name: [] for name in names}
        while any("disconnect" not in events_of for events_of in told.values()):
            event = next(events)
            assert not event.missed
            assert event.connection is not None
            frame = event.frame or {}
            told[event.connection].append(frame.get("payload", event.kind))
        for events_of in told.values():
            assert events_of.count("transfer") == 1
            events_of.remove("transfer")
            assert events_of == ["connect", *range(number), "disconnect"]
