"""`ThrottledTransport`: a transport whose peer is read no faster than it may send, and closed where it goes on for too long.

Chosen by `transport_type`, once for a shard, so that a transport without a limit has not even a branch for it.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

from wspulse.actors.transport.contract import TransportShard
from wspulse.actors.transport.state import CARRYING, TransportState
from wspulse.actors.transport.throttling.parser import ThrottledParser
from wspulse.actors.transport.throttling.throttle import Throttle
from wspulse.actors.transport.transport import Transport
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.values.close_code import CloseReason
from wspulse.actors.values.errors import ProtocolError
from wspulse.actors.values.options.server_options import ServerOptions
from wspulse.actors.wire.framing import FrameParser

__all__ = ["ThrottledTransport", "transport_type"]

_READ = (TransportState.OPEN, TransportState.HELD)


class _Journal(Protocol):
    """Whoever is told of peers that send too much."""

    def reading_delayed(self, connection: Any) -> None: ...
    def too_many_messages(self, connection: Any) -> None: ...


class ThrottledTransport(Transport):
    """See the module. What its peer sends beyond its limits stays in the kernel's buffers, which fill up; the pong clock stands
    meanwhile, as it does for a handler that is behind. A bucket is full where a transport begins, be it after a move."""

    __slots__ = ("_is_waiting", "_throttle")

    def __init__(
        self, shard: TransportShard[Transport], upgrade: Upgrade | None = None, parser: FrameParser | None = None
    ) -> None:
        super().__init__(shard, upgrade, parser)
        options = shard.options
        self._throttle = Throttle(options.max_frames_per_second, options.max_bytes_per_second, shard.clock())
        self._parser = ThrottledParser(self._parser, self._throttle, shard.clock).as_parser()
        self._is_waiting = False
        """Whether it is to be looked at again in a while."""

    def data_received(self, data: bytes) -> None:
        now = self.shard.clock()
        if data:
            self._throttle.read(len(data), now)
        parser = cast("ThrottledParser", self._parser)
        parser.counts = True
        try:
            super().data_received(data)
        finally:
            parser.counts = False
        if self.state is TransportState.OPEN and self._throttle.owes_bytes(now):
            self._end_turn()

    def _next_turn(self) -> None:
        """Not yet, while it has to wait: whoever has it released, its handler or a move that did not come about."""
        if self.state in _READ:
            now = self.shard.clock()
            before = self._throttle.began_s
            if hold_s := self._throttle.hold_s(now):
                self._is_released = False
                self.hold()
                if self._throttle.began_s != before and self.session is not None:
                    self._journal.reading_delayed(self._connection)
                if not self._is_waiting:
                    self._is_waiting = True
                    self.shard.at(now + hold_s, self._waited)
                return
        super()._next_turn()

    def _waited(self, now: float) -> None:
        self._is_waiting = False
        if self.state not in CARRYING or self.session is None:
            return
        if not self._throttle.is_exhausted(now):
            self.release()
            return
        self._journal.too_many_messages(self._connection)
        # What was read is not handed over: it is what it may not send.
        self.session.transport_failed(ProtocolError(1008, "too many messages"), CloseReason.TOO_MANY_MESSAGES)

    @property
    def _connection(self) -> Any:
        return cast("Any", self.session).connection

    @property
    def _journal(self) -> _Journal:
        journal: _Journal = cast("Any", self.shard).journal
        return journal


def transport_type(options: ServerOptions) -> type[Transport]:
    """What carries the sessions of a server with these options."""
    if options.max_frames_per_second or options.max_bytes_per_second:
        return ThrottledTransport
    return Transport
