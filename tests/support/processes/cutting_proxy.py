"""A proxy that treats connections as bad networks do: it cuts them at random, without a word, and holds up what they carry.

async with CuttingProxy("127.0.0.1", port, draw) as proxy:
    ... # proxy.port; proxy.cuts
    proxy.is_kind = True     # from here on it does neither
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from random import Random

from tests.support.processes.open_ends import OpenEnds

__all__ = ["CuttingProxy"]


class CuttingProxy:
    """Between clients and the server at this address."""

    def __init__(self, host: str, port: int, draw: Random, *, lives_s: tuple[float, float] = (0.0, 0.6)) -> None:
        self._address = (host, port)
        self._draw = draw
        self._lives_s = lives_s
        self._tasks: set[asyncio.Task[None]] = set()
        self.ends = OpenEnds()
        self.port = 0
        self.cuts = 0
        self.is_kind = False

    async def __aenter__(self) -> CuttingProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.ends.abort()
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.ends.add(writer)
        task = asyncio.create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            server_reader, server_writer = await asyncio.open_connection(*self._address)
            self.ends.add(server_writer)
            ways = [
                asyncio.create_task(self._pass_on(reader, server_writer)),
                asyncio.create_task(self._pass_on(server_reader, writer)),
            ]
            life_s = None if self.is_kind else self._draw.uniform(*self._lives_s)
            try:
                _, left = await asyncio.wait(ways, timeout=life_s, return_when=asyncio.FIRST_COMPLETED)
                if len(left) == 2:
                    self.cuts += 1
                    _reset(writer)
                    _reset(server_writer)
                else:
                    await asyncio.wait(left, timeout=1)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
                writer.close()
                server_writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(self._draw.choice((10, 1000, 65536))):
                if not self.is_kind:
                    await asyncio.sleep(self._draw.choice((0, 0, 0, 0.05)))
                writer.write(data)
                await writer.drain()
            writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    end: socket.socket = writer.get_extra_info("socket")
    if not writer.is_closing():
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
