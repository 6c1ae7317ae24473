"""`RunningServer`: a server under test, and the way to its clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import signature
from typing import Any

from websockets.asyncio.client import connect as open_websocket

from wspulse.actors.client.connect import connect
from wspulse.actors.client.line import Line
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.testing.address import Address
from wspulse.actors.testing.client import Client
from wspulse.actors.testing.process import ServerProcess
from wspulse.actors.values.codec import Codec

__all__ = ["RunningServer"]


class RunningServer:
    """A server under test; it makes the clients. Leaving the block ends both."""

    def __init__(
        self,
        url: str,
        codec: Codec,
        timeout_s: float,
        process: ServerProcess | None,
        find_connection: Callable[[Any], Connection | None] | None,
    ) -> None:
        self.url = url
        self.clients: list[Client] = []
        """Every client that was connected."""
        self._codec = codec
        self._timeout_s = timeout_s
        self._process = process
        self._find_connection = find_connection

    async def connect(
        self,
        id: str | None = None,  # noqa: A002
        room: str | None = None,
        *,
        query: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        subprotocols: Sequence[str] = (),
        compression: str | None = None,
        codec: Codec | None = None,
        timeout: float | None = None,
    ) -> Client:
        """A new client, connected. `id` and `room` become `?id=...&room=...`, which the built-in applications read. With
        `compression="deflate"` it offers compression, as browsers do.

        Raises UpgradeRefusedError (`.status`, `.text`) if the server refuses, TimeoutError after `timeout` seconds.
        """
        address = Address.make(self.url, id, room, query, headers, subprotocols, compression)
        client = Client(address, codec or self._codec, self._timeout_s, self._find_connection)
        await client.open(timeout)
        self.clients.append(client)
        return client

    def line(
        self,
        id: str | None = None,  # noqa: A002
        room: str | None = None,
        *,
        query: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        **options: Any,
    ) -> Line:
        """A line of `wspulse.client`, for use as a context: `async with running.line("ada") as line:`.

        It shows what a client that reconnects by itself sees of the server; `connect` shows each frame and each end. `options`
        are those of `wspulse.client.connect`; the codec is the server's, and no proxy is used.
        """
        address = Address.make(self.url, id, room, query, headers, ())
        if "proxy" in signature(open_websocket.__init__).parameters:  # from version 15 on
            options.setdefault("proxy", None)
        options = {"codec": self._codec, "additional_headers": address.headers, **options}
        return connect(address.url, **options)

    @property
    def control(self) -> str:
        """The control endpoint of a server in other processes: `wspulse.Control(running.control).presence(room)` tells who is
        there.

        Raises RuntimeError for a server in this process, which has none.
        """
        if self._process is None:
            raise RuntimeError("wspulse: this server runs in this process; call the Server's own methods")
        return self._process.control

    @property
    def log(self) -> str:
        """What a server in other processes has logged so far; one in this process logs through `logging`, and this is ""."""
        return "" if self._process is None else self._process.log()

    @property
    def pid(self) -> int | None:
        """The process id of the supervisor; None for a server in this process."""
        return None if self._process is None else self._process.pid
