"""A proxy that takes a host off the network and puts it back: aloud, by resets, or without a word.

async with GatedProxy("127.0.0.1", port) as proxy:
    proxy.cut()      # all connections are reset, and new ones too
    proxy.silence()  # or: nothing that is sent arrives any more, in either direction
    proxy.open()     # what was held up arrives
"""

from __future__ import annotations

import asyncio

from tests.support.processes.open_ends import OpenEnds

__all__ = ["GatedProxy"]


class GatedProxy:
    """To the server at this address."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends = OpenEnds()
        self._writers: set[asyncio.StreamWriter] = set()
        self._gate = asyncio.Event()
        self._gate.set()
        self._is_cut = False
        self.port = 0

    async def __aenter__(self) -> GatedProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._ends.abort()
        await self._server.wait_closed()

    def cut(self) -> None:
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    def silence(self) -> None:
        self._gate.clear()

    def open(self) -> None:
        self._is_cut = False
        self._gate.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer)
        if self._is_cut:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = {writer}
        try:
            await self._gate.wait()
            server_reader, server_writer = await asyncio.open_connection(*self._address)
            self._ends.add(server_writer)
            ends.add(server_writer)
            self._writers |= ends
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pass_on(reader, server_writer))
                ways.create_task(self._pass_on(server_reader, writer))
        except* OSError:
            pass  # nobody is there, or one end is gone
        finally:
            self._writers -= ends
            for end in ends:
                end.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until one end is gone, which it says by an error, so that the other way ends too."""
        while data := await reader.read(65536):
            await self._gate.wait()
            if writer.is_closing():
                break
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError("the end has closed")
