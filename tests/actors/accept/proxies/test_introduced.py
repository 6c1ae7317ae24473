"""`Introduced`: connections that begin with a PROXY header, on a socket and a clock that the test has in its hand."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from tests.actors.accept.test_newcomer import Door, status
from tests.support.sessions.transport_shell import NotedSocket
from tests.support.wire.raw_peer import head
from wspulse.actors.accept.listener import Introduction, Listener
from wspulse.actors.accept.newcomer import Newcomer
from wspulse.actors.accept.proxies.introduced import Introduced
from wspulse.actors.accept.proxies.trust import TrustedProxies
from wspulse.actors.mesh.message import UpgradeRequest
from wspulse.actors.transport.transport import Transport
from wspulse.actors.values.request import Request

HEADER = b"PROXY TCP4 198.51.100.1 127.0.0.1 4711 80\r\n"
TRUSTED = TrustedProxies(["10.0.0.1"])


class Seen:
    """A `connect` that notes whom it was asked about."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> tuple[str, str]:
        self.requests.append(request)
        return "room", "ada"


def introduce(door: Door, trust: TrustedProxies = TRUSTED) -> tuple[Introduced, NotedSocket]:
    introduced = Introduced(door.acceptor, trust.trusts, door.acceptor.newcomer)
    client = NotedSocket()
    client.protocol = introduced
    introduced.connection_made(client)
    return introduced, client


@pytest.mark.parametrize("size", [1, len(HEADER), 1000])
async def test_client_is_whom_the_header_names(size: int) -> None:
    seen = Seen()
    door = Door(seen)
    _, client = introduce(door)
    stream = HEADER + head("/ws")
    for at in range(0, len(stream), size):
        protocol = client.protocol
        assert isinstance(protocol, (Introduced, Newcomer))
        protocol.data_received(stream[at : at + size])
    (request,) = seen.requests
    assert request.remote_address == ("198.51.100.1", 4711)
    assert isinstance(client.protocol, Transport)
    assert not door.acceptor.introduced


async def test_header_that_names_nobody_leaves_the_socket_to_say_it() -> None:
    seen = Seen()
    _, client = introduce(Door(seen))
    assert isinstance(client.protocol, Introduced)
    client.protocol.data_received(b"PROXY UNKNOWN\r\n" + head("/ws"))
    assert seen.requests[0].remote_address == ("10.0.0.1", 5)


async def test_newcomer_that_is_refused_is_logged_as_the_client_that_the_header_names(
    caplog: pytest.LogCaptureFixture,
) -> None:
    door = Door()
    introduced, client = introduce(door)
    introduced.data_received(HEADER + b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status(client) == b"404"
    assert [vars(record)["remote_address"] for record in caplog.records] == ["198.51.100.1:4711"]


async def test_peer_that_is_not_trusted_is_cut_off_before_it_says_a_word(caplog: pytest.LogCaptureFixture) -> None:
    door = Door()
    introduced, client = introduce(door, TrustedProxies(["10.0.0.2"]))
    assert client.closing
    introduced.data_received(HEADER + head("/ws"))
    assert client.written == b""
    assert door.shard.metrics.not_introduced == 1
    assert vars(caplog.records[0])["reason"] == "the sender is not a trusted proxy"
    assert not door.acceptor.introduced


async def test_connection_that_begins_otherwise_or_not_at_all_is_cut_off_without_an_answer() -> None:
    door = Door()
    for data in (head("/ws"), b"\x16\x03\x01", HEADER[:20]):
        introduced, client = introduce(door)
        introduced.data_received(data)
        door.shard.pass_time(10.1)
        assert client.closing
        assert client.written == b""
    assert door.shard.metrics.not_introduced == 3
    assert not door.acceptor.introduced


async def test_server_that_closes_drops_those_who_have_not_said_a_word() -> None:
    door = Door()
    _, client = introduce(door)
    door.acceptor.close()
    assert client.closing
    _, late = introduce(door)
    assert late.closing
    assert not door.acceptor.introduced
    assert door.shard.metrics.not_introduced == 0


async def test_headers_of_http_count_where_proxies_are_trusted_to_set_them() -> None:
    seen = Seen()
    door = Door(seen)
    door.acceptor.proxies = TrustedProxies(["10.0.0.0/8"], reads_headers=True)
    newcomer, _ = door.greet()
    newcomer.data_received(head("/ws", "X-Forwarded-For: 6.6.6.6, 198.51.100.1", "X-Forwarded-Proto: https"))
    (request,) = seen.requests
    assert (request.remote_address, request.scheme) == (("198.51.100.1", 0), "wss")


async def test_upgrade_that_is_handed_over_says_whom_it_comes_from() -> None:
    door = Door(lambda _: ("room", "ada"), shards=2)
    door.acceptor.placement.adopt(1, 2, (1).to_bytes(2, "little") * 1024)
    introduced, client = introduce(door)
    client.fileno = lambda: 2  # type: ignore[method-assign]
    copies: list[int] = []
    given: list[tuple[int, UpgradeRequest]] = []

    def take(owner: int, upgrade: UpgradeRequest, fd: int) -> None:
        given.append((owner, upgrade))
        copies.append(fd)

    door.acceptor.hand_over = take
    introduced.data_received(b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n" + head("/ws"))
    ((owner, upgrade),) = given
    os.close(*copies)
    assert (owner, upgrade.remote_address, upgrade.scheme) == (1, ("2001:db8::1", 1), "ws")


@pytest.mark.parametrize(("introduction", "is_small"), [(Introduction.PROXY, False), (Introduction.TERMINATOR, True)])
async def test_kernel_holds_little_for_a_client_of_a_terminator_and_leaves_it_to_other_proxies(
    introduction: Introduction, is_small: bool
) -> None:
    door = Door()
    ours, theirs = socket.socketpair()
    usual = ours.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    with theirs, socket.socket() as listener:
        greet = door.acceptor._listening(Listener(listener, introduction))._greet
        client, introduced = await asyncio.get_running_loop().connect_accepted_socket(greet, ours)
        assert introduced in door.acceptor.introduced
        size = ours.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        assert size <= 40_000 if is_small else size == usual
        client.abort()
