"""What stands between clients and servers in other tests leaves nothing behind when it goes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from random import Random

import pytest

from tests.support.crowds.bad_network import BadNetwork
from tests.support.eventually import eventually
from tests.support.processes.cutting_proxy import CuttingProxy

HIGH_WATER_BYTES = 65536
"""Beyond it a writer waits for its peer."""

Network = BadNetwork | CuttingProxy

NETWORKS: dict[str, Callable[[int], Network]] = {
    "bad": lambda port: BadNetwork([port], Random(1), cuts=1, longest_life_s=60),
    "cutting": lambda port: CuttingProxy("127.0.0.1", port, Random(1), lives_s=(60, 60)),
}


@pytest.fixture
def client() -> Iterator[socket.socket]:
    """Of the kernel alone, and open for longer than the loop: nobody reads what comes to it."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        yield client


@pytest.mark.parametrize("name", sorted(NETWORKS))
async def test_network_that_ends_ends_what_it_has_for_a_client_that_does_not_read(
    client: socket.socket, name: str
) -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(16 << 20))
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with NETWORKS[name](server.sockets[0].getsockname()[1]) as network:
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", network.port))
        await eventually(lambda: network.ends.most_unsent_bytes() > HIGH_WATER_BYTES, "what the client does not take")
    server.close()
    await server.wait_closed()
