"""`CompressingTransport`: a transport whose client has agreed on compression.

Made where an upgrade says so, and where such a socket comes from another process. Session, room and log know nothing of it: what
they give it is compressed when it is written, and never kept so, since it may have to go to another transport.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from wspulse.actors.transport.contract import TransportShard
from wspulse.actors.transport.outlet import write_nowhere
from wspulse.actors.transport.transfer.record import TransportRecord
from wspulse.actors.transport.transport import Transport
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.wire.framing import FrameParser

__all__ = ["CompressingTransport"]


class CompressingTransport(Transport):
    """See the module. The client's window is of `window_bits`, and its messages are cut by `parser`."""

    __slots__ = ("_deflater", "_window_bits", "_write")

    def __init__(
        self,
        shard: TransportShard[Transport],
        upgrade: Upgrade | None,
        parser: FrameParser,
        window_bits: int,
    ) -> None:
        super().__init__(shard, upgrade, parser)
        self._window_bits = window_bits
        self._deflater = shard.writing.deflater(window_bits)
        self._write: Callable[[bytes], object] = write_nowhere
        """The socket's own."""

    @property
    def window_bits(self) -> int:
        return self._window_bits

    def accept(self, answer: bytes) -> None:
        super().accept(answer)
        self._begin()

    def arrive(self, client: asyncio.Transport, record: TransportRecord) -> None:
        super().arrive(client, record)
        self._begin()

    def _begin(self) -> None:
        """The 101 is written as it is, and so is what another process had yet to write."""
        self._write, self.write = self.write, self._write_compressed

    def _write_compressed(self, wire: bytes) -> None:
        writing = self.shard.writing
        compressed = writing.data = self._deflater.compressed(wire)
        self._write(compressed)
        # Whoever gave it has counted its bytes.
        self.shard.metrics.bytes_out += len(compressed) - len(wire)
        # As whoever writes the same to many has noted it for all of them.
        writing.data = wire

    def _close_outlet(self) -> None:
        super()._close_outlet()
        self._write = write_nowhere
