"""`Joint`: one client's TLS connection and the clear one to a worker, each of which writes what the other reads.

Made by the terminator for each client that has shaken hands. It reads no byte of what passes. What one side does not take stops
the reading of the other, so that the worker sees a slow client as it sees any other; and the end of one is the end of the
other, when that has taken what was written before.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, cast
from weakref import WeakSet

from wspulse.supervisor.tls.farewells import Farewells

__all__ = ["ClientSide", "WorkerSide"]

_HIGH_BYTES = 1
"""Of what a side holds before it stops the other: nothing, but that uvloop's TLS takes 0 for ever full."""


class Ways(Protocol):
    """The terminator, as a joint sees it."""

    paused: set[WorkerSide]
    """Those of which nothing is read: the loop does not see their ends."""
    arriving: WeakSet[ClientSide]
    """Those that have no worker yet. The loop's TLS says nothing of one that never shakes hands: it vanishes."""
    clients: set[ClientSide]
    farewells: Farewells

    def connect(self, client: ClientSide) -> None:
        """Have a connection to a worker made for it."""

    @property
    def gone(self) -> Callable[[], None]:
        """Is called when a client is gone."""


class ClientSide(asyncio.Protocol):
    """The TLS side. It waits for its worker, and keeps what comes meanwhile: a request, most often."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways
        self.early = b""
        self.transport: asyncio.Transport | None = None
        self.worker: WorkerSide | None = None
        ways.arriving.add(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = client = cast("asyncio.Transport", transport)
        client.set_write_buffer_limits(high=_HIGH_BYTES)
        self._ways.clients.add(self)
        self._ways.connect(self)

    def data_received(self, data: bytes) -> None:
        # Until the worker's side is there, which takes its place.
        self.early += data
        if len(self.early) > MAX_EARLY_BYTES and self.transport is not None:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        # The loop's TLS lets nobody write from now on: it ends when the client has taken what is written. (Of a TCP stream that
        # ends without such a word it tells only when it is closed.)
        self._ways.farewells.begin(self)
        return False

    def pause_writing(self) -> None:
        if self.worker is not None:
            self.worker.hold()

    def resume_writing(self) -> None:
        if self.worker is not None:
            self.worker.read_on()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.transport = None
        worker, self.worker = self.worker, None
        if worker is not None:
            worker.client_is_gone()
        self._ways.arriving.discard(self)
        self._ways.farewells.discard(self)
        self._ways.clients.discard(self)
        self._ways.gone()

    def joined(self, worker: WorkerSide, write: Callable[[bytes], None]) -> None:
        """What is read from now on is the worker's."""
        self._ways.arriving.discard(self)
        self.worker = worker
        self.data_received = write  # type: ignore[assignment,method-assign]
        self.early = b""
        if self.transport is not None and not self.transport.is_closing() and not worker.is_full:
            self.transport.resume_reading()

    def end(self) -> None:
        """Nothing more comes for the client: close when it has taken what was written."""
        if self.transport is not None:
            self._ways.farewells.begin(self)
            self.transport.close()

    def taken(self) -> object:
        """See `Leaving`."""
        client = self.transport
        return None if client is None else (client.get_write_buffer_size(), acknowledged_bytes(client))

    def cut_off(self) -> None:
        """See `Leaving`."""
        worker = self.worker
        self.abort()
        if worker is not None:
            worker.abort()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


MAX_EARLY_BYTES = 64 * 1024


class WorkerSide(asyncio.Protocol):
    """The clear side. `header` is what the worker is told of the client first."""

    def __init__(self, ways: Ways, client: ClientSide, header: bytes) -> None:
        self._ways = ways
        self._client = client
        self._header = header
        self.transport: asyncio.Transport | None = None
        self.is_full = False
        """Whether the worker does not take what it was written."""
        assert client.transport is not None
        # The shortest way: what the loop reads it hands to the other side.
        self.data_received = client.transport.write  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = worker = cast("asyncio.Transport", transport)
        client = self._client
        if client.transport is None:
            worker.abort()
            return
        worker.set_write_buffer_limits(high=_HIGH_BYTES)
        worker.write(self._header + client.early)
        self._header = b""
        client.joined(self, worker.write)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self.is_full = True
        client = self._client.transport
        if client is not None and not client.is_closing():
            client.pause_reading()

    def resume_writing(self) -> None:
        self.is_full = False
        client = self._client.transport
        if client is not None and not client.is_closing():
            client.resume_reading()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.transport = None
        self._ways.paused.discard(self)
        self._client.worker = None
        self._client.end()

    def hold(self) -> None:
        """The client does not take what it was written."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()
            self._ways.paused.add(self)

    def read_on(self) -> None:
        self._ways.paused.discard(self)
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def client_is_gone(self) -> None:
        """What was read of it is written, and then the worker sees the end."""
        self._ways.paused.discard(self)
        if self.transport is not None:
            self.transport.close()

    def worker_is_gone(self) -> None:
        """It has closed its end, which the loop does not see: the client has not taken what was sent before, and has to now."""
        self._ways.farewells.begin(self._client)

    def abort(self) -> None:
        self._ways.paused.discard(self)
        if self.transport is not None:
            self.transport.abort()


def acknowledged_bytes(client: asyncio.BaseTransport) -> int:
    """How many bytes the other machine has taken; 0 where the system does not say."""
    sock: socket.socket | None = client.get_extra_info("socket")
    with suppress(OSError):
        if sock is not None and _TCP_INFO is not None and sock.fileno() >= 0:
            told = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _ACKED_END)
            return int.from_bytes(told[_ACKED_AT:_ACKED_END], sys.byteorder)
    return 0


_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None) if sys.platform == "linux" else None
_ACKED_AT, _ACKED_END = 120, 128
"""Of `tcpi_bytes_acked` in Linux's struct tcp_info, which only grows at its end."""
