"""`Inheritance`: which descriptors are ours, and which the application's."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from wspulse.actors.mesh.inheritance import Inheritance, open_descriptors


def tcp_pair(stack: ExitStack, listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    port = listener.getsockname()[1]
    client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    return client, stack.enter_context(listener.accept()[0])


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_listener_and_what_it_accepts_are_ours_and_other_connections_are_not(host: str) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, 0)))
        foreign = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        client, accepted = tcp_pair(stack, listener)
        pairs = tcp_pair(stack, foreign)
        plain = stack.enter_context(socket.socket())
        datagrams = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        datagrams.bind(("127.0.0.1", listener.getsockname()[1]))
        inheritance = Inheritance(listeners=[listener])
        assert [inheritance.has(each.fileno()) for each in (listener, accepted)] == [True, True]
        assert not any(inheritance.has(each.fileno()) for each in (client, foreign, *pairs, plain, datagrams))


def test_port_on_another_address_is_not_ours() -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        other = stack.enter_context(socket.create_server(("127.0.0.2", listener.getsockname()[1])))
        assert not Inheritance(listeners=[listener]).has(other.fileno())


def test_unix_sockets_of_our_folder_are_ours_on_either_side(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    with ExitStack() as stack:
        found = {}
        for name in ("ours/mailbox", "theirs"):
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(tmp_path / name))
            listener.listen()
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(tmp_path / name))
            found[name] = (listener, client, stack.enter_context(listener.accept()[0]))
        pair = [stack.enter_context(each) for each in socket.socketpair()]
        inheritance = Inheritance(folders=[str(tmp_path / "ours")])
        assert all(inheritance.has(each.fileno()) for each in found["ours/mailbox"])
        assert not any(inheritance.has(each.fileno()) for each in (*found["theirs"], *pair))


def test_server_on_a_unix_socket_has_what_it_accepts(tmp_path: Path) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(tmp_path / "served"))
        listener.listen()
        client = stack.enter_context(socket.socket(socket.AF_UNIX))
        client.connect(str(tmp_path / "served"))
        accepted = stack.enter_context(listener.accept()[0])
        unnamed = stack.enter_context(socket.socket(socket.AF_UNIX))
        inheritance = Inheritance(listeners=[listener])
        assert [inheritance.has(each.fileno()) for each in (listener, accepted)] == [True, True]
        assert not any(inheritance.has(each.fileno()) for each in (client, unnamed))


def test_descriptor_is_known_again_but_not_one_that_has_its_number_later() -> None:
    reader, writer = os.pipe()
    inheritance = Inheritance(descriptors=open_descriptors())
    try:
        assert inheritance.has(reader)
        assert not inheritance.has(2)
        other, far = os.pipe()
        os.dup2(other, reader)
        assert not inheritance.has(reader)
        os.close(far)
        os.close(other)
    finally:
        os.close(reader)
        os.close(writer)
    assert not inheritance.has(writer)


@pytest.mark.parametrize("held", [True, False])
def test_child_has_nothing_where_ours_was_and_the_rest(held: bool) -> None:
    """In the child the number stays taken: an object that still names it must not reach what is opened next."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        _, accepted = tcp_pair(stack, listener)
        reader, writer = os.pipe()
        inheritance = Inheritance(listeners=[listener])
        if held:
            inheritance.begin()
        pid = os.fork()
        if pid == 0:
            kept = [not os.path.samestat(os.fstat(fd), Path(os.devnull).stat()) for fd in (accepted.fileno(), writer)]
            os.write(writer, bytes(kept))
            os._exit(0)
        inheritance.end()
        os.waitpid(pid, 0)
        assert os.read(reader, 10) == bytes([not held, True])
        os.close(reader)
        os.close(writer)
