"""What the kernel is asked and told of a client's socket, with real sockets, on both loops."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest
import uvloop

from tests.support.eventually import eventually
from wspulse.actors.transport.client import abort, shut_down, taken_bytes, unread_bytes, unsent_bytes, untaken_bytes

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[asyncio.Transport, socket.socket]]:
    """The server's end as the loop's transport, and the client's as a socket that nobody reads."""
    loop = asyncio.get_running_loop()
    made: asyncio.Future[asyncio.Transport] = loop.create_future()

    class Server(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            made.set_result(cast("asyncio.Transport", transport))

    server = await loop.create_server(Server, "127.0.0.1", 0)
    peer = socket.create_connection(server.sockets[0].getsockname())
    client = await made
    try:
        yield client, peer
    finally:
        peer.close()
        client.abort()
        server.close()
        await asyncio.sleep(0)


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[None]]], None]:
    def on_loop(test: Callable[[], Awaitable[None]]) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:

            async def bounded() -> None:
                async with asyncio.timeout(10):
                    await test()

            runner.run(bounded())

    return on_loop


def test_bytes_that_were_not_read_are_known(run: Callable[[Callable[[], Awaitable[None]]], None]) -> None:
    async def test() -> None:
        async with pair() as (client, peer):
            client.pause_reading()
            peer.sendall(b"x" * 1000)
            await eventually(lambda: unread_bytes(client) == 1000, "the bytes are with the kernel")

    run(test)


def test_bytes_that_the_peer_does_not_take_are_known_in_the_kernel_and_before_it(
    run: Callable[[Callable[[], Awaitable[None]]], None],
) -> None:
    async def test() -> None:
        async with pair() as (client, _):
            client.write(b"x" * 20_000_000)
            await asyncio.sleep(0)
            assert untaken_bytes(client) > 100_000
            assert client.get_write_buffer_size() > 0
            assert unsent_bytes(client) == client.get_write_buffer_size() + untaken_bytes(client)

    run(test)


def test_what_the_peer_takes_is_counted_whatever_is_written_meanwhile(
    run: Callable[[Callable[[], Awaitable[None]]], None],
) -> None:
    async def test() -> None:
        async with pair() as (client, peer):
            peer.setblocking(False)
            loop = asyncio.get_running_loop()
            before = taken_bytes(client)
            taken = 0
            while taken < 8_000_000:
                client.write(b"x" * 1_000_000)
                taken += len(await loop.sock_recv(peer, 1_000_000))
            assert taken_bytes(client) >= before + taken

    run(test)


def test_peer_that_has_not_taken_everything_is_reset(run: Callable[[Callable[[], Awaitable[None]]], None]) -> None:
    async def test() -> None:
        async with pair() as (client, peer):
            client.write(b"x" * 20_000_000)
            await asyncio.sleep(0)
            abort(client)
            peer.setblocking(False)
            assert isinstance(await end_of(peer), ConnectionResetError)

    run(test)


def test_peer_that_has_taken_everything_sees_an_end_in_order(
    run: Callable[[Callable[[], Awaitable[None]]], None],
) -> None:
    async def test() -> None:
        async with pair() as (client, peer):
            client.write(b"bye")
            await eventually(lambda: untaken_bytes(client) == 0, "the peer has taken everything")
            abort(client)
            peer.setblocking(False)
            assert await end_of(peer) is None

    run(test)


def test_connection_that_is_shut_down_ends_although_a_copy_of_its_descriptor_is_open(
    run: Callable[[Callable[[], Awaitable[None]]], None],
) -> None:
    async def test() -> None:
        async with pair() as (client, peer):
            copy = os.dup(client.get_extra_info("socket").fileno())
            try:
                shut_down(client)
                client.abort()
                peer.setblocking(False)
                assert await end_of(peer) is None
            finally:
                os.close(copy)

    run(test)


def test_nothing_is_known_of_a_client_that_is_gone_or_closed(
    run: Callable[[Callable[[], Awaitable[None]]], None],
) -> None:
    async def test() -> None:
        async with pair() as (client, _):
            client.abort()
            await asyncio.sleep(0.01)
            for none in (None, client):
                assert (unread_bytes(none), untaken_bytes(none), unsent_bytes(none)) == (0, 0, 0)
                shut_down(none)
                abort(none)

    run(test)


async def end_of(peer: socket.socket) -> OSError | None:
    """How the stream ends: None for an end in order."""
    loop = asyncio.get_running_loop()
    try:
        while await loop.sock_recv(peer, 1 << 20):
            pass
    except OSError as error:
        return error
    return None
