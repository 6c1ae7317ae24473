"""`Departure`: a socket whose transport moves to another process: this process's end of it, until the loop has let go of it.

Made by a transport that leaves, whose socket it takes over. A descriptor of the same socket stays, so that its peer notices
nothing. It says nothing to the peer, and knows no session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from wspulse.actors.transport.contract import EndingShard
from wspulse.actors.transport.transfer.record import TransportRecord

__all__ = ["Departure", "Left"]

Left = Callable[[TransportRecord, int], None]
"""Is given what the transport was, and the descriptor, which is its from then on."""


class Departure(asyncio.Protocol):
    """See the module. `descriptor` is a copy of `client`'s; `written` is what was written last, if some of it has yet to be
    sent."""

    __slots__ = ("_client", "_descriptor", "_left", "_record", "_shard", "_written")

    def __init__(
        self,
        shard: EndingShard,
        client: asyncio.Transport,
        descriptor: int,
        record: TransportRecord,
        written: bytes,
        left: Left,
    ) -> None:
        self._shard = shard
        self._client = client
        self._descriptor = descriptor
        self._record = record
        self._written = written
        self._left = left

    def take(self) -> None:
        """Take the socket over from its protocol, and close this end of it."""
        self._client.set_protocol(self)
        self._shard.transport_ending(self)
        # As the socket is: one that is reset, or shut down, would be so for whoever has its copy.
        self._client.abort()

    def abort(self) -> None:
        """It is closed already; `connection_lost` follows from the loop."""

    def connection_lost(self, exc: BaseException | None) -> None:
        # Only now: until here the loop may have gone on sending what it had.
        unsent_bytes = self._client.get_write_buffer_size()
        record = self._record
        if unsent_bytes:
            assert unsent_bytes <= len(self._written)
            record = msgspec.structs.replace(record, unsent=self._written[-unsent_bytes:])
        self._written = b""
        self._shard.transport_gone(self)
        self._left(record, self._descriptor)
