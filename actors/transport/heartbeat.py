"""`Heartbeat`: when a peer is pinged, and whether it has been silent for too long.

Made by a transport when it answers 101, and called by the shard's ticker: an object that is its own call spares each idle
connection a bound method, 64 bytes. It knows no socket and no clock; times are in seconds, on the shard's clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from wspulse.actors.transport.state import TransportState
from wspulse.actors.values.options.server_options import ServerOptions

__all__ = ["Heartbeat"]


class BeatingShard(Protocol):
    options: ServerOptions

    def at(self, when: float, call: Callable[[float], None]) -> None:
        """Have `call(now)` called at `when` or a little later; it cannot be cancelled."""


class Beating(Protocol):
    """A transport, as its heartbeat sees it."""

    @property
    def shard(self) -> BeatingShard: ...

    @property
    def state(self) -> TransportState: ...

    def ping(self) -> None:
        """Ask the peer for a sign of life."""

    def fell_silent(self) -> None:
        """No pong came for `pong_wait`."""


class Heartbeat:
    """See the module. It ends with its transport's being open."""

    __slots__ = ("_next_ping", "_stopped_at", "_transport", "last_pong")

    last_pong: float
    """When the peer was heard last; the time in which it was not read is left out."""

    def __init__(self, transport: Beating, now: float) -> None:
        self._transport: Beating | None = transport
        self._stopped_at = self.last_pong = now
        # `pong_wait` is above `ping_period`, so a ping is due first.
        self._next_ping = now + transport.shard.options.ping_period
        transport.shard.at(self._next_ping, self)

    def stop(self, now: float) -> None:
        """The pong clock stands from now on: the peer is not read."""
        self._stopped_at = now

    def go_on(self, now: float) -> None:
        """The peer is read again."""
        self.last_pong += now - self._stopped_at

    def end(self) -> None:
        """The transport is gone. Its deadline, which cannot be cancelled, holds only this from now on."""
        self._transport = None

    def __call__(self, now: float) -> None:
        transport = self._transport
        if transport is None:
            return
        shard, state = transport.shard, transport.state
        options = shard.options
        if state is TransportState.HELD:
            # Its pongs cannot be read while we do not read: look again later.
            shard.at(now + options.ping_period, self)
        elif state is TransportState.OPEN:
            if now >= self.last_pong + options.pong_wait:
                transport.fell_silent()
                return
            if now >= self._next_ping:
                self._next_ping = now + options.ping_period
                transport.ping()
            shard.at(min(self._next_ping, self.last_pong + options.pong_wait), self)
