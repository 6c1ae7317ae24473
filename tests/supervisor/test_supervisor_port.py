"""Whose a port is: what a start does to a server that has it, on the same address and on another one. Without workers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from wspulse.supervisor.errors import StartError
from wspulse.supervisor.premises.runtime_dir import RuntimeDir
from wspulse.supervisor.process.workers import Workers
from wspulse.supervisor.settings.layers import resolve
from wspulse.supervisor.supervisor import Supervisor


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Workers, "start", lambda *_: None)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def port() -> int:
    """Free on every address of this machine, a moment ago."""
    with socket.create_server(("", 0)) as free:
        return int(free.getsockname()[1])


def supervisor(host: str, port: int) -> Supervisor:
    return Supervisor(resolve({"app": "echo", "host": host, "port": str(port), "workers": "2"}, {}))


@asynccontextmanager
async def running(host: str, port: int) -> AsyncIterator[Supervisor]:
    made = supervisor(host, port)
    task = asyncio.create_task(made.run())
    try:
        await eventually(lambda: task.done() or made.__dict__.get("_control"), "the control plane is started")
        assert not task.done(), task.exception()
        yield made
    finally:
        made.request_shutdown("the test is over")
        async with asyncio.timeout(10):
            await asyncio.wait([task])


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_second_start_on_a_port_touches_nothing_of_the_server_that_has_it(place: Path, port: int) -> None:
    async with running("127.0.0.1", port):
        folder = place / "wspulse" / str(port)
        (folder / "lock").unlink()
        before = files(folder)
        assert before >= {"control.sock", "mailbox-0-0.sock", "bus-push-0.sock"}
        with pytest.raises(StartError, match="is in use by another program"):
            await asyncio.wait_for(supervisor("127.0.0.1", port).run(), 3)
        assert files(folder) == before


async def test_second_start_on_a_port_is_told_who_has_it(port: int) -> None:
    async with running("127.0.0.1", port):
        for host in ("127.0.0.1", "0.0.0.0"):
            with pytest.raises(StartError, match=rf"another wspulse server \(pid \d+\) uses port {port}; stop it or"):
                await asyncio.wait_for(supervisor(host, port).run(), 3)


async def test_port_of_another_program_is_told_apart_from_a_server_on_another_address(port: int) -> None:
    async with running("127.0.0.1", port):
        with (
            socket.create_server(("127.0.0.2", port)),
            pytest.raises(StartError, match=rf"127.0.0.2:{port} is in use by another program"),
        ):
            await asyncio.wait_for(supervisor("127.0.0.2", port).run(), 3)


async def test_two_servers_have_the_same_port_on_two_addresses(place: Path, port: int) -> None:
    async with running("127.0.0.1", port) as first, running("127.0.0.2", port) as second:
        assert first.control.endpoint == f"ipc://{place}/wspulse/{port}/control.sock"
        assert second.control.endpoint == f"ipc://{place}/wspulse/{port}@127.0.0.2/control.sock"
    assert files(place / "wspulse") == set()


async def test_port_that_a_crashed_server_still_holds_is_waited_for(place: Path, port: int) -> None:
    crashed = place / "wspulse" / str(port)
    crashed.mkdir(mode=0o700, parents=True)
    crashed.parent.chmod(0o700)
    (crashed / "lock").write_text("99999 4 127.0.0.1\n")
    with socket.create_server(("127.0.0.1", port)) as orphan:
        made = supervisor("127.0.0.1", port)
        task = asyncio.create_task(made.run())
        asyncio.get_running_loop().call_later(0.3, orphan.close)
        await eventually(lambda: task.done() or made.__dict__.get("_control"), "the control plane is started")
        assert made.runtime_dir is not None
        assert made.runtime_dir.run == 5
        made.request_shutdown("the test is over")
        assert await asyncio.wait_for(task, 10) == 0


@pytest.mark.parametrize("name", ["mailbox-1-0", "bus-push-0", "bus-publish-0", "events-0", "control", "bridge-0"])
async def test_socket_that_cannot_be_had_is_one_line_and_leaves_nothing(name: str, place: Path, port: int) -> None:
    """As on a full disk, and where something is in the way."""
    obstacle = place / "wspulse" / str(port) / f"{name}.sock"
    obstacle.mkdir(mode=0o700, parents=True)
    for folder in (obstacle.parent, obstacle.parent.parent):
        folder.chmod(0o700)
    made = Supervisor(resolve({"app": "bridge", "port": str(port), "workers": "2"}, {}))
    with pytest.raises(StartError, match=r"^wspulse: [^\n]*: Address already in use[^\n()]*$"):
        await asyncio.wait_for(made.run(), 5)
    socket.create_server(("127.0.0.1", port)).close()
    assert files(obstacle.parent) == {obstacle.name}


async def test_port_is_given_back_when_the_runtime_directory_cannot_be_had(place: Path, port: int) -> None:
    holders = [RuntimeDir.claim(port, address=address) for address in ("127.0.0.3", "127.0.0.1")]
    with pytest.raises(StartError, match=f"uses port {port}"):
        await supervisor("127.0.0.1", port).run()
    socket.create_server(("127.0.0.1", port)).close()
    for holder in holders:
        holder.release()
    assert files(place / "wspulse") == set()
