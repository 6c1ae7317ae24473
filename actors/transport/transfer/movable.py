"""`Movable`: the half of a transport that can stop, leave with its socket for another process, and arrive.

The base of `Transport`, which alone makes one. Between the two processes there is a `TransportRecord` and a descriptor; nobody is
told of an end.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Any, Protocol, TypeVar

from wspulse.actors.transport.client import can_be_copied, copy_of, pause_reading
from wspulse.actors.transport.contract import Carried
from wspulse.actors.transport.outlet import Outlet, WritingShard
from wspulse.actors.transport.patience.heartbeat import Heartbeat
from wspulse.actors.transport.state import CARRYING, TransportEvent, TransportState
from wspulse.actors.transport.transfer.departure import Departure, Left
from wspulse.actors.transport.transfer.record import TransportRecord
from wspulse.actors.wire.framing import FrameParser

__all__ = ["Movable"]


class MovingShard(WritingShard, Protocol):
    def transport_left(self, transport: Any) -> tuple[float, int, int] | None: ...


S = TypeVar("S", bound=MovingShard)


class Movable(Outlet[S]):
    """See the module."""

    __slots__ = ("_heartbeat", "_parser", "half_closed", "session", "state")

    def __init__(self, shard: S, state: TransportState, parser: FrameParser | None) -> None:
        super().__init__(shard)
        self.state = state
        self.session: Carried | None = None
        self.half_closed = False
        self._heartbeat: Heartbeat | None = None
        self._parser = parser or FrameParser(shard.options.max_message_size)

    def stop_reading(self) -> None:
        """Read no more, whoever releases it, until `read_on`: its session is to move. Does nothing where the peer has ended its
        stream, or the transport its session."""
        if self.state in (TransportState.OPEN, TransportState.HELD) and not self.half_closed:
            self._apply(TransportEvent.STOP)

    def read_on(self) -> None:
        """Its session stays: what was read is handled, from the loop, and the socket read, unless the session is behind."""
        if self.state is TransportState.STOPPED:
            self._apply(TransportEvent.READ_ON)
            self.release()

    @property
    def can_leave(self) -> bool:
        """Whether it may `leave` now: it is open, its peer has not ended its stream, and its socket can be another process's."""
        client = self._client
        if client is None or self.half_closed or self.state not in CARRYING or not can_be_copied(client):
            return False
        return client.get_write_buffer_size() <= len(self._written)

    @property
    def window_bits(self) -> int:
        """Of the server's window, where compression was agreed on; 0: it was not."""
        return 0

    @property
    def weight_bytes(self) -> int:
        """About how much there is beside the socket."""
        return len(self._written) + self._parser.leftover_bytes

    def leave(self, left: Left) -> None:
        """Let go of the socket without a word to its peer. The session has let go before, and `can_leave`. From the loop
        `left(record, descriptor)` is called. Raises OSError where there is no descriptor left, and then nothing has changed."""
        client, heartbeat, shard = self._client, self._heartbeat, self.shard
        assert self.session is None
        assert client is not None
        assert heartbeat is not None
        descriptor = copy_of(client)
        owed = b"" if self._owed is None else self._owed.wire()
        beat = heartbeat.record(shard.clock())
        counted = shard.transport_left(self)
        record = TransportRecord(self._parser.record(), beat, b"", owed, counted, self.window_bits)
        self._apply(TransportEvent.LEAVE, departure=Departure(shard, client, descriptor, record, self._written, left))

    def arrive(self, client: asyncio.Transport, record: TransportRecord) -> None:
        """Take a socket that was another process's, and write what that had yet to. The session attaches next, then `start`
        handles what was read."""
        self._open_outlet(client)
        if self.state is TransportState.HELD:
            # Much was read ahead. A loop that begins to read all the same is paused when it has read something.
            pause_reading(client)
        self._heartbeat = Heartbeat(self, self.shard.clock(), record.heartbeat)
        self._write_again(record.unsent, record.owed)

    @property
    @abstractmethod
    def unhandled_bytes(self) -> int:
        """How much the peer has sent that no session was given."""

    @abstractmethod
    def fell_silent(self) -> None:
        """A ping was left unanswered for `pong_wait`."""

    @abstractmethod
    def release(self) -> None:
        """Read on, from the loop, when what was read is handled."""

    @abstractmethod
    def _apply(self, event: TransportEvent, *, departure: Departure | None = None) -> None:
        """Take one row of the table."""
