"""`TransportRecord`: all that a transport is beside its socket, as plain values that go to another process with that.

What is moved with a session; `None` fields are absent. Times are in seconds, relative to the moment at which the record was made.
"""

from __future__ import annotations

import msgspec

from wspulse.actors.wire.parser_record import ParserRecord

__all__ = ["HeartbeatRecord", "TransportRecord"]


class HeartbeatRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a heartbeat knows."""

    last_ping_ago_s: float
    """Since the last ping, or the beginning."""
    payload: bytes | None = None
    """Of the ping that awaits its answer."""
    pinged_ago_s: float = 0.0
    """Since the first ping with that payload, the time in which the pong clock stood taken off."""
    latency_s: float | None = None


class TransportRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """See the module."""

    parser: ParserRecord
    heartbeat: HeartbeatRecord
    unsent: bytes = b""
    """What was written and the kernel has not taken: the end of the last write, which may begin within a frame. It is written
    first."""
    owed: bytes = b""
    """Control frames that are to be written behind that, ahead of everything else."""
    counted: tuple[float, int, int] | None = None
    """For the access log: since when it is open, in seconds, and how many frames came and went. None where there is none."""
    window_bits: int = 0
    """Of the server's window, where compression was agreed on; 0: it was not."""
