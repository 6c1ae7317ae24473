"""Opening the listeners, and what is said when that fails."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from wspulse.supervisor.errors import StartError
from wspulse.supervisor.premises.listeners import listen_socket
from wspulse.supervisor.premises.listeners.listen_socket import (
    AddressTakenError,
    address_text,
    open_listener,
    open_mailbox_listener,
)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_listener_accepts_over_ipv4_and_does_not_block(host: str) -> None:
    with open_listener(host, 0) as listener:
        assert not listener.getblocking()
        assert listener.getsockname()[1] > 0
        with socket.create_connection(("127.0.0.1", listener.getsockname()[1]), timeout=5):
            pass


def test_all_ipv6_addresses_include_ipv4() -> None:
    with open_listener("::", 0) as listener:
        port = listener.getsockname()[1]
        for address in ("127.0.0.1", "::1"):
            with socket.create_connection((address, port), timeout=5):
                pass


def test_port_of_connections_in_time_wait_can_be_had_at_once() -> None:
    with open_listener("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port), timeout=5)
        listener.setblocking(True)
        accepted, _ = listener.accept()
        accepted.close()
        client.close()
    open_listener("127.0.0.1", port).close()


def test_taken_port_says_so() -> None:
    with open_listener("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(
            AddressTakenError, match=rf"127\.0\.0\.1:{port} is in use by another program .* another --port"
        ):
            open_listener("127.0.0.1", port)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EACCES, "this user may not listen on 10.1.2.3:80; choose a --port above 1023"),
        (errno.EADDRNOTAVAIL, "10.1.2.3 is not an address of this machine; choose another --host"),
        (errno.ENOBUFS, "cannot listen on 10.1.2.3:80: No buffer space available"),
    ],
)
def test_refusal_says_what_to_do(monkeypatch: pytest.MonkeyPatch, number: int, said: str) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(listen_socket, "_bind", refuse)
    with pytest.raises(StartError) as caught:
        open_listener("10.1.2.3", 80)
    assert str(caught.value).startswith(f"wspulse: {said}")


def test_foreign_address_is_refused() -> None:
    with pytest.raises(StartError, match=r"192\.0\.2\.1 is not an address of this machine"):
        open_listener("192.0.2.1", 0)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a..b", "x" * 70])
def test_host_that_does_not_resolve_is_refused(host: str) -> None:
    with pytest.raises(StartError, match=r"cannot be resolved .*; give --host a name or an address of this machine"):
        open_listener(host, 0)


def test_ipv6_addresses_are_bracketed() -> None:
    assert address_text("::1", 8000) == "[::1]:8000"
    assert address_text("localhost", 8000) == "localhost:8000"


def test_mailbox_listener_keeps_what_comes_before_anybody_accepts(tmp_path: Path) -> None:
    with open_mailbox_listener(str(tmp_path / "m.sock")) as listener:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "m.sock"))
            client.send(b"early")
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.recv(10) == b"early"


def test_mailbox_listener_never_takes_a_path_over(tmp_path: Path) -> None:
    with open_mailbox_listener(str(tmp_path / "m.sock")), pytest.raises(OSError, match="in use"):
        open_mailbox_listener(str(tmp_path / "m.sock"))
