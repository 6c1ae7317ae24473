"""`Heartbeat`: when a peer is pinged, and whether it has left a ping unanswered for too long.

Made by a transport when it answers 101, or has come from another process, and called by the shard's ticker: an object that is its
own call spares each idle connection a bound method, 64 bytes. It knows no socket and no clock; times are in seconds, on the
shard's clock.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Protocol

from wspulse.actors.transport.patience.doubt import LOOK_S, Doubt, Verdict
from wspulse.actors.transport.state import CARRYING, TransportState
from wspulse.actors.transport.transfer.record import HeartbeatRecord
from wspulse.actors.values.metrics import Metrics
from wspulse.actors.values.options.server_options import ServerOptions

__all__ = ["Heartbeat"]

_payload_of = Struct("!d").pack


class BeatingShard(Protocol):
    options: ServerOptions
    metrics: Metrics

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds, monotonic."""

    def at(self, when: float, call: Callable[[float], None], /) -> None:
        """Have `call(now)` called at `when` or a little later; it cannot be cancelled."""


class Beating(Protocol):
    """A transport, as its heartbeat sees it."""

    @property
    def shard(self) -> BeatingShard: ...

    @property
    def state(self) -> TransportState: ...

    @property
    def unhandled_bytes(self) -> int:
        """How much the peer has sent that may hold an answer."""

    @property
    def untaken_bytes(self) -> int:
        """How much was written that the peer has not taken."""

    @property
    def taken_bytes(self) -> int:
        """A number that rises with what the peer takes."""

    def ping(self, payload: bytes) -> None:
        """Ask the peer for a sign of life; where the kernel takes nothing now, as soon as it does."""

    def fell_silent(self) -> None:
        """A ping was left unanswered for `pong_wait`."""


class Heartbeat:
    """See the module. It ends with its transport's being open, or with `end`.

    One ping at a time awaits its answer: until that comes each further one repeats its payload, so that an answer to any of
    them is one, and a pong with another payload is none.
    """

    __slots__ = ("_doubt", "_next_ping", "_payload", "_pinged_at", "_stopped_at", "_transport", "latency_s")

    def __init__(self, transport: Beating, now: float, record: HeartbeatRecord | None = None) -> None:
        """It begins, or goes on where that was which made the record."""
        self._transport: Beating | None = transport
        self._payload: bytes | None = None
        """Of the ping that awaits its answer."""
        self._pinged_at = now
        """When that was sent, moved on by the time in which the pong clock stood."""
        self._stopped_at: float | None = None
        self._doubt: Doubt | None = None
        self.latency_s: float | None = None
        """How long the last answer took, counted from the last ping before it."""
        options = transport.shard.options
        due = self._next_ping = now + options.ping_period
        if record is not None:
            self._payload = record.payload
            self._pinged_at = now - record.pinged_ago_s
            self.latency_s = record.latency_s
            due = self._next_ping = due - record.last_ping_ago_s
            if record.payload is not None:
                due = min(due, self._pinged_at + options.pong_wait)
        transport.shard.at(due, self)

    def record(self, now: float) -> HeartbeatRecord:
        """From which one like it goes on; all clocks stand in between."""
        until = now if self._stopped_at is None else max(self._stopped_at, self._pinged_at)
        return HeartbeatRecord(now - self._last_ping, self._payload, until - self._pinged_at, self.latency_s)

    def end(self) -> None:
        """The transport is gone."""
        self._transport = None

    def stop(self, now: float) -> None:
        """The pong clock stands from now on: the peer is not read, or takes nothing."""
        if self._stopped_at is None:
            self._stopped_at = now

    def go_on(self, now: float) -> None:
        """The pong clock goes on, if it stood."""
        if self._stopped_at is not None:
            stood_s = now - max(self._stopped_at, self._pinged_at)
            self._pinged_at += stood_s
            self._stopped_at = None
            if self._doubt is not None:
                self._doubt.stood(stood_s)

    @property
    def _last_ping(self) -> float:
        """When that was, or the beginning."""
        transport = self._transport
        assert transport is not None
        return self._next_ping - transport.shard.options.ping_period

    def hear(self, pong: bytes) -> None:
        """A pong with this payload came. One that answers no ping of ours is no sign of life."""
        transport = self._transport
        if pong == self._payload and transport is not None:
            self._payload = self._doubt = None
            shard = transport.shard
            self.latency_s = shard.clock() - self._last_ping
            if shard.metrics.pong_times is not None:
                shard.metrics.pong_times.observe(self.latency_s)

    def __call__(self, now: float) -> None:
        transport = self._transport
        if transport is None or transport.state not in CARRYING:
            return
        shard = transport.shard
        options = shard.options
        if now >= self._next_ping:
            self._next_ping = now + options.ping_period
            if self._payload is None:
                self._payload = _payload_of(now)
                self._pinged_at = now
            transport.ping(self._payload)
        due = self._next_ping
        if self._payload is not None and self._stopped_at is None:
            end = self._pinged_at + options.pong_wait
            if now < end:
                due = min(due, end)
            else:
                if self._doubt is None:
                    self._doubt = Doubt(now, options.pong_wait, options.write_wait)
                verdict = self._doubt.look(
                    now, transport.unhandled_bytes, transport.untaken_bytes, transport.taken_bytes
                )
                if verdict is Verdict.CONDEMN:
                    transport.fell_silent()
                    return
                if verdict is Verdict.BEGIN_ANEW:
                    self._pinged_at = now
                    self._doubt = None
                else:
                    due = min(due, now + LOOK_S)
        shard.at(due, self)
