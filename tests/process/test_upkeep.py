"""The runtime directory under a running server: removed by somebody, it is made again, or the server does not look well."""

from __future__ import annotations

import os
import shutil
import signal
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.support.processes.server_process import ServerProcess, serve_process, wait_until
from wspulse import Control

LOOKED_S = 6.0
"""A look is made every 2 s."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """For XDG_RUNTIME_DIR."""
    return tmp_path


def health(server: ServerProcess) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/healthz", timeout=5) as answer:
            return answer.status, answer.read().decode().strip()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode().strip()


def enter(opened: ExitStack, server: ServerProcess, count: int, prefix: str) -> list[ClientConnection]:
    """Clients in one room, whose sessions live on both workers."""
    return [
        opened.enter_context(connect(f"{server.url}?id={prefix}{number}&room=all", open_timeout=8))
        for number in range(count)
    ]


def all_hear(clients: list[ClientConnection], text: str) -> None:
    clients[0].send(f'{{"event":"{text}"}}')
    for client in clients:
        assert client.recv(timeout=5) == f'{{"event":"{text}"}}'


@pytest.mark.parametrize("crashes", [False, True], ids=["all live", "a worker crashes"])
def test_runtime_directory_that_is_removed_is_made_again(place: Path, crashes: bool) -> None:
    with serve_process("--app", "relay", env={"XDG_RUNTIME_DIR": str(place)}) as server, ExitStack() as opened:
        early = enter(opened, server, 8, "early")
        files = place / "wspulse" / str(server.port)
        shutil.rmtree(place / "wspulse")
        if crashes:
            os.kill(server.worker_pids()[1], signal.SIGKILL)
        wait_until(lambda: files.is_dir() and len(list(files.iterdir())) == 7, LOOKED_S, "all is there again")
        wait_until(lambda: len(server.worker_pids()) == 2, 10, "both workers run")
        if not crashes:
            all_hear(early, "nobody-was-cut-off")

        def links_are_up() -> bool:
            with Control(server.control, timeout=5) as control:
                workers = control.stats().workers
            return all(worker.state == "ready" and worker.links_down == 0 for worker in workers)

        wait_until(links_are_up, 10, "the workers find each other")
        all_hear(enter(opened, server, 12, "late"), "they-share-rooms")
        assert health(server) == (200, "ok")
        server.terminate()
        assert server.wait() == 0
        assert "Traceback" not in server.stderr()
        assert "ERROR" not in server.stderr().upper()
        assert list((place / "wspulse").iterdir()) == []


def test_runtime_directory_that_cannot_be_made_again_is_told_by_health_stats_and_log(place: Path) -> None:
    with (
        serve_process("--app", "relay", env={"XDG_RUNTIME_DIR": str(place)}) as server,
        ExitStack() as opened,
        Control(server.control, timeout=5) as control,
    ):
        enter(opened, server, 8, "early")
        assert control.stats().unwell == []
        shutil.rmtree(place / "wspulse")
        (place / "wspulse").write_text("in the way")
        wait_until(lambda: health(server)[0] == 503, LOOKED_S, "it does not look well")
        assert health(server)[1].startswith("the runtime directory was removed")
        assert "the control socket was removed" in control.stats().unwell
        served = {item.id for item in control.connections() if item.shard == 0}
        assert served
        os.kill(server.worker_pids()[1], signal.SIGKILL)
        wait_until(lambda: "a worker is ready" in server.stderr(), 10, "the other worker is replaced")
        wait_until(lambda: {health(server)[0] for _ in range(20)} == {503}, 3, "the new one is told too")
        (place / "wspulse").unlink()
        wait_until(lambda: health(server) == (200, "ok"), LOOKED_S, "it looks well again")
        assert control.stats().unwell == []
        assert server.stderr().count("(part=runtime directory, reason=") == 1
        assert {item.id for item in control.connections() if item.shard == 0} == served, "nobody was cut off"


def test_end_without_a_runtime_directory_is_in_order(place: Path) -> None:
    with serve_process("--app", "relay", env={"XDG_RUNTIME_DIR": str(place)}) as server:
        shutil.rmtree(place / "wspulse")
        (place / "wspulse").write_text("in the way")
        server.terminate()
        assert server.wait() == 0
        assert "Traceback" not in server.stderr()


def test_bridge_and_a_control_socket_elsewhere_are_looked_after_too(place: Path) -> None:
    (place / "c").mkdir(mode=0o700)
    with (
        serve_process(
            "--app",
            "bridge",
            "--control",
            f"ipc://{place}/c/control",
            workers=1,
            env={"XDG_RUNTIME_DIR": str(place)},
        ) as server,
        Control(server.control, timeout=5) as early,
    ):
        names = {"control", "control.events", "control.lock"}
        desk = place / "wspulse" / str(server.port) / "bridge-0.sock"
        for file in (desk, *(place / "c").iterdir()):
            file.unlink()
        wait_until(lambda: {file.name for file in (place / "c").iterdir()} == names, LOOKED_S, "they are there again")
        wait_until(desk.exists, LOOKED_S, "it is there again")
        with Control(server.control, timeout=5) as late:
            assert early.ping() == late.ping()
        server.terminate()
        assert server.wait() == 0
        assert list((place / "c").iterdir()) == []
