"""`--reload`: a server whose application is edited while it runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.support.processes.server_process import run_to_end, serve_process, wait_until

APP = """
from wspulse import Frame, Server

server = Server(lambda request: ("lobby", "ann"))

@server.on_message
async def tell(connection, frame):
    await connection.send(Frame("VERSION"))
"""


def write(folder: Path, version: str, more: str = "") -> None:
    (folder / "edited.py").write_text(APP.replace("VERSION", version) + more)


def version(client: ClientConnection) -> str:
    client.send("{}")
    return str(json.loads(client.recv(timeout=10))["event"])


@pytest.mark.parametrize("workers", [1, 2])
def test_client_stays_connected_while_the_application_is_edited_and_bad_code_waits_for_the_next_save(
    tmp_path: Path, workers: int
) -> None:
    write(tmp_path, "one")
    with (
        serve_process("--app", "edited:server", "--reload", workers=workers, cwd=tmp_path) as server,
        connect(server.url, open_timeout=8) as client,
    ):
        assert version(client) == "one"
        # Of one length, and most likely of one second.
        for name in ("two", "six"):
            write(tmp_path, name)
            wait_until(lambda name=name: version(client) == name, 30, f"it is {name}")  # type: ignore[misc]
        write(tmp_path, "bad", "def nothing(:\n")
        wait_until(lambda: "the reload failed" in server.stderr(), 30, "it is tried")
        assert "SyntaxError" in server.stderr()
        assert version(client) == "six"
        write(tmp_path, "ten")
        wait_until(lambda: version(client) == "ten", 30, "it is mended")
        assert "source files have changed" in server.stderr()


def test_server_that_is_to_watch_what_is_not_there_does_not_start(tmp_path: Path) -> None:
    finished = run_to_end("--app", "echo", "--reload", "sources", cwd=tmp_path)
    assert finished.returncode == 2
    assert finished.stderr.strip() == "wspulse: --reload: there is no 'sources' to watch"
    assert finished.stdout == ""
