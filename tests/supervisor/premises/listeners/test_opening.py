"""What a server listens on, from its settings to sockets."""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

from wspulse.supervisor.errors import StartError
from wspulse.supervisor.premises.listeners.opening import Listeners, open_listeners


@dataclass
class Where:
    host: list[str] | None = None
    port: int = 0
    unix_socket: str | None = None
    fd: int | None = None


async def opened(where: Where, environ: dict[str, str] | None = None) -> Listeners:
    listeners = await open_listeners(where, lambda: False, {} if environ is None else environ)
    assert listeners is not None
    return listeners


def is_there(path: str) -> bool:
    return Path(path).exists()


def mode_of(path: str) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


def remove(path: str) -> None:
    Path(path).unlink()


def is_served(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(path) == 0


async def test_without_a_word_it_is_this_machine_alone() -> None:
    listeners = await opened(Where())
    assert listeners.urls("/ws") == [f"ws://127.0.0.1:{listeners.port}/ws"]
    assert listeners.address == "127.0.0.1"
    listeners.close()


async def test_several_hosts_have_one_port() -> None:
    listeners = await opened(Where(host=["127.0.0.1", "::1", "127.0.0.2"]))
    names = [each.getsockname()[:2] for each in listeners.sockets]
    assert names == [("127.0.0.1", listeners.port), ("::1", listeners.port), ("127.0.0.2", listeners.port)]
    assert listeners.urls("/x")[1] == f"ws://[::1]:{listeners.port}/x"
    listeners.close()


async def test_host_that_cannot_be_had_leaves_nothing_open() -> None:
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=r"127\.0\.0\.2:\d+ is in use"):
            await opened(Where(host=["127.0.0.1", "127.0.0.2"], port=port))
        socket.create_server(("127.0.0.1", port)).close()


async def test_all_of_ipv4_and_all_of_ipv6_are_two_and_two_names_of_one_address_are_one() -> None:
    listeners = await opened(Where(host=["0.0.0.0", "::", "localhost", "0.0.0.0"]))
    assert listeners.hosts == ["0.0.0.0", "::"]
    listeners.close()
    listeners = await opened(Where(host=["127.0.0.1", "localhost"]))
    assert listeners.hosts == ["127.0.0.1"]
    listeners.close()


async def test_unix_socket_is_instead_of_a_port_or_beside_one(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    listeners = await opened(Where(unix_socket=path, port=8123))
    assert listeners.urls("/ws") == [f"unix:{path}:/ws"]
    assert (listeners.address, listeners.port, listeners.paths) == ("unix", 8123, [path])
    assert is_served(path)
    assert mode_of(path) == 0o666
    listeners.close()
    assert not is_there(path)
    both = await opened(Where(unix_socket=path, host=["127.0.0.1"]))
    assert [each.family for each in both.sockets] == [socket.AF_INET, socket.AF_UNIX]
    both.close()


async def test_file_of_a_unix_socket_is_replaced_only_where_nobody_listens(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    first = await opened(Where(unix_socket=path))
    with pytest.raises(StartError, match="another program listens on"):
        await opened(Where(unix_socket=path))
    assert is_served(path)
    first.sockets[0].close()  # as kill -9 does: the file stays
    assert is_there(path)
    second = await opened(Where(unix_socket=path))
    assert is_served(path)
    first.close()
    assert is_served(path), "the file is another's by now"
    remove(path)
    third = await opened(Where(unix_socket=path))
    second.close()
    assert is_served(path), "the file is another's by now"
    third.close()
    assert not is_there(path)


async def test_what_is_not_a_socket_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(StartError, match="is not a socket; remove it or choose another path"):
        await opened(Where(unix_socket=str(path)))
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("path", "problem"), [("nowhere/s", "cannot listen on .*: No such file"), ("x" * 120, "longer than the 1.. bytes")]
)
async def test_unix_socket_that_cannot_be_made_says_why(tmp_path: Path, path: str, problem: str) -> None:
    with pytest.raises(StartError, match=problem):
        await opened(Where(unix_socket=str(tmp_path / path)))


async def test_unix_socket_whose_file_was_removed_is_told(tmp_path: Path) -> None:
    listeners = await opened(Where(unix_socket=str(tmp_path / "s")))
    with pytest.raises(StartError, match="was removed; restart the server to create it again"):
        listeners.restore(listeners.paths)
    listeners.close()


async def test_descriptor_that_listens_is_taken_as_it_is(tmp_path: Path) -> None:
    theirs = socket.create_server(("127.0.0.1", 0))
    address = theirs.getsockname()
    listeners = await opened(Where(fd=theirs.detach()))
    (ours,) = listeners.sockets
    assert (ours.getsockname(), ours.getblocking(), ours.get_inheritable()) == (address, False, False)
    assert (listeners.address, listeners.port) == address
    listeners.close()


async def test_descriptor_that_does_not_listen_is_refused_and_stays_open(tmp_path: Path) -> None:
    file = os.open(tmp_path, os.O_RDONLY)
    with socket.socket() as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        for fd in (file, stream.fileno(), datagram.fileno()):
            with pytest.raises(StartError, match=rf"--fd: descriptor {fd} is not a (socket|listening)"):
                await opened(Where(fd=fd))
            os.fstat(fd)
    os.close(file)
    with pytest.raises(StartError, match="is not a socket: Bad file descriptor"):
        await opened(Where(fd=file))


async def test_sockets_of_the_service_manager_are_found_by_its_variables() -> None:
    theirs = socket.create_server(("127.0.0.1", 0))
    address = theirs.getsockname()
    spare = os.dup(3) if _is_open(3) else None
    os.dup2(theirs.fileno(), 3)
    theirs.close()
    environ = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "web", "HOME": "/"}
    try:
        listeners = await opened(Where(fd=3), environ)
        assert [each.getsockname() for each in listeners.sockets] == [address], "named twice, and there once"
        assert environ == {"HOME": "/"}, "nobody that it starts takes them for its own"
        listeners.close()
    finally:
        if spare is not None:
            os.dup2(spare, 3)
            os.close(spare)


async def test_variables_that_are_meant_for_another_process_are_not_heeded() -> None:
    for environ in ({"LISTEN_FDS": "1", "LISTEN_PID": "1"}, {"LISTEN_FDS": "x", "LISTEN_PID": str(os.getpid())}):
        listeners = await opened(Where(), environ)
        assert listeners.address == "127.0.0.1"
        listeners.close()


async def test_nothing_stays_open_when_the_end_comes_first(tmp_path: Path) -> None:
    where = Where(host=["127.0.0.1"], unix_socket=str(tmp_path / "s"))
    assert await open_listeners(where, lambda: True, {}) is None
    assert not is_there(str(tmp_path / "s"))


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
