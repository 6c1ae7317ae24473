"""`Arrival`: a socket that comes from another process, or comes back, with what its transport was there.

Made where a session that has moved is built, and given to the loop with the socket. When the loop has that, the transport gets it
and writes what had not been sent; then who made this attaches the session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from wspulse.actors.transport.compression.choice import moved_transport
from wspulse.actors.transport.contract import TransportShard
from wspulse.actors.transport.transfer.record import TransportRecord
from wspulse.actors.transport.transport import Transport

__all__ = ["Arrival"]


class Arrival(asyncio.Protocol):
    """See the module. `arrived(transport)` is called from the loop, with a transport that is open and has no session yet; what is
    read, or was, is handled after that."""

    __slots__ = ("_arrived", "_record", "transport")

    def __init__(
        self, shard: TransportShard[Transport], record: TransportRecord, arrived: Callable[[Transport], None]
    ) -> None:
        self.transport = moved_transport(shard, record)
        self._record = record
        self._arrived = arrived

    def keep(self, data: bytes) -> None:
        """Take what was read from the socket meanwhile."""
        self.transport.keep(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        client = cast("asyncio.Transport", transport)
        client.set_protocol(self.transport)
        self.transport.arrive(client, self._record)
        self._arrived(self.transport)
        self.transport.start()
