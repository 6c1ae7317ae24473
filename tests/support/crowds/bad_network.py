"""`BadNetwork`: what stands between one client and the server, and treats its connections as bad networks do.

It holds up what they carry, now and then does not read what the server sends for seconds, and ends them at random: by a reset,
by an end of the stream, or by falling silent. Each client of a crowd has one, which ends so many of its connections and is kind
then.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from random import Random

from tests.support.processes.open_ends import OpenEnds

__all__ = ["BadNetwork"]

_LONGEST_DELAY_S = 0.1
_SILENT_S = 8.0
"""After that the server's side of a silent connection is reset; it has noticed by then, or its client is back."""

_WINDOW_BYTES, _SEGMENT_BYTES = 8192, 1400
"""As over a slow network: by itself the kernel takes megabytes for a reader on the same machine."""

_READS_BYTES = (16, 1000, 65536, 65536)


class BadNetwork:
    """async with BadNetwork([port], draw, cuts=50) as network: its own port is `network.port`. It is kind until `begin`. Where
    there are several servers its connections lead to one after the other."""

    def __init__(self, ports: Sequence[int], draw: Random, *, cuts: int, longest_life_s: float) -> None:
        self._server_ports = itertools.cycle(ports)
        self._draw = draw
        self._longest_life_s = longest_life_s
        self._left = cuts
        self._begun = asyncio.Event()
        self._kind = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.ends = OpenEnds()
        self.port = 0
        self.cuts: Counter[str] = Counter()

    @property
    def is_done(self) -> bool:
        """Whether it has ended as many connections as it was to."""
        return self._left == 0

    def begin(self) -> None:
        self._begun.set()

    def be_kind(self) -> None:
        """From here on it neither ends nor delays anything, and what is silent is reset."""
        self._left = 0
        self._kind.set()

    async def __aenter__(self) -> BadNetwork:
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
        try:
            server_reader, server_writer = await asyncio.open_connection(sock=await self._dialled())
        except OSError:
            _reset(writer)
            return
        self.ends.add(server_writer)
        silent = asyncio.Event()
        ways = [
            asyncio.create_task(self._pass_on(reader, server_writer, silent, pauses=False)),
            asyncio.create_task(self._pass_on(server_reader, writer, silent, pauses=True)),
        ]
        fate = asyncio.create_task(self._fate())
        try:
            await asyncio.wait([*ways, fate], return_when=asyncio.FIRST_COMPLETED)
            if fate.done() and not any(way.done() for way in ways) and self._left:
                self._left -= 1
                how = fate.result()
                self.cuts[how] += 1
                if how == "silence":
                    silent.set()
                    await self._stay_silent(ways)
                if how != "end":
                    _reset(writer)
                    _reset(server_writer)
            else:
                # One side has ended its stream: the other has its time to answer that.
                await asyncio.wait(ways, timeout=2)
        finally:
            for task in (fate, *ways):
                task.cancel()
            await asyncio.gather(fate, *ways, return_exceptions=True)
            writer.close()
            server_writer.close()

    async def _dialled(self) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WINDOW_BYTES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT_BYTES)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", next(self._server_ports)))
        except BaseException:
            sock.close()
            raise
        return sock

    async def _fate(self) -> str:
        """How a connection ends, when it is time for that."""
        await self._begun.wait()
        await asyncio.sleep(self._draw.uniform(0, self._longest_life_s))
        if not self._left:
            await asyncio.Event().wait()
        return self._draw.choices(("reset", "end", "silence"), (6, 3, 1))[0]

    async def _stay_silent(self, ways: list[asyncio.Task[None]]) -> None:
        kind = asyncio.create_task(self._kind.wait())
        try:
            # The client may give up; the server is told nothing of that.
            await asyncio.wait([kind], timeout=_SILENT_S)
        finally:
            kind.cancel()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, silent: asyncio.Event, *, pauses: bool
    ) -> None:
        draw = self._draw
        with suppress(OSError):
            while data := await reader.read(65536 if self._kind.is_set() else draw.choice(_READS_BYTES)):
                if self._begun.is_set() and not self._kind.is_set():
                    await asyncio.sleep(draw.uniform(0, _LONGEST_DELAY_S))
                    if pauses and draw.random() < 0.01:
                        await asyncio.sleep(draw.uniform(0.5, 4))
                if silent.is_set():
                    continue
                writer.write(data)
                await writer.drain()
            if not silent.is_set():
                writer.write_eof()
            elif pauses:
                return
            else:
                await asyncio.Event().wait()


def _reset(writer: asyncio.StreamWriter) -> None:
    end: socket.socket = writer.get_extra_info("socket")
    if not writer.is_closing():
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
