"""Which class the transport of a socket is of: decided once, when it is made, by what was agreed on with its client and by the
limits of its server."""

from __future__ import annotations

from wspulse.actors.transport.compression.compressing import CompressingTransport
from wspulse.actors.transport.contract import TransportShard
from wspulse.actors.transport.throttling.transport import ThrottledCompressingTransport, ThrottledTransport
from wspulse.actors.transport.transfer.record import TransportRecord
from wspulse.actors.transport.transport import Transport
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.values.options.server_options import ServerOptions
from wspulse.actors.wire.compression.inflating_parser import InflatingParser
from wspulse.actors.wire.framing import FrameParser

__all__ = ["TransportTypes", "moved_transport", "new_transport"]


class TransportTypes:
    """Those of a shard, by its options: one without a limit has not even a branch for it."""

    __slots__ = ("compressing", "plain")

    def __init__(self, options: ServerOptions) -> None:
        is_throttled = bool(options.max_frames_per_second or options.max_bytes_per_second)
        self.plain: type[Transport] = ThrottledTransport if is_throttled else Transport
        self.compressing: type[CompressingTransport] = (
            ThrottledCompressingTransport if is_throttled else CompressingTransport
        )


def new_transport(shard: TransportShard[Transport], upgrade: Upgrade) -> Transport:
    """For a newcomer. One without compression pays for it here, and nowhere else."""
    types: TransportTypes = shard.transport_types
    if not upgrade.window_bits:
        return types.plain(shard, upgrade)
    return types.compressing(shard, upgrade, InflatingParser(shard.options.max_message_size), upgrade.window_bits)


def moved_transport(shard: TransportShard[Transport], record: TransportRecord) -> Transport:
    """For a socket that was another process's, whatever the option is in this one."""
    types: TransportTypes = shard.transport_types
    limit = shard.options.max_message_size
    if not record.window_bits:
        return types.plain(shard, None, FrameParser.of(limit, record.parser))
    return types.compressing(shard, None, InflatingParser.of(limit, record.parser), record.window_bits)
