"""`ThrottledTransport`: a transport whose peer is read no faster than it may send, and closed where it goes on for too long.

Chosen once for a shard, so that a transport without a limit has not even a branch for it.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

from wspulse.actors.transport.compression.compressing import CompressingTransport
from wspulse.actors.transport.contract import TransportShard
from wspulse.actors.transport.state import CARRYING, TransportState
from wspulse.actors.transport.throttling.parser import ThrottledParser
from wspulse.actors.transport.throttling.throttle import Throttle
from wspulse.actors.transport.transport import Transport
from wspulse.actors.values.close_code import CloseReason
from wspulse.actors.values.errors import ProtocolError

__all__ = ["ThrottledCompressingTransport", "ThrottledTransport"]

_READ = (TransportState.OPEN, TransportState.HELD)


class _Journal(Protocol):
    """Whoever is told of peers that send too much."""

    def reading_delayed(self, connection: Any) -> None: ...
    def too_many_messages(self, connection: Any) -> None: ...


class _Throttled(Transport):
    """What its peer sends beyond its limits stays in the kernel's buffers, which fill up; the pong clock stands
    meanwhile, as it does for a handler that is behind. A bucket is full where a transport begins, be it after a move."""

    __slots__ = ()

    _throttle: Throttle

    def __init__(self, shard: TransportShard[Transport], *arguments: Any) -> None:
        super().__init__(shard, *arguments)
        options = shard.options
        # Its subclasses have the slot: two bases that both add some could not be those of one class.
        throttle = Throttle(options.max_frames_per_second, options.max_bytes_per_second, shard.clock())
        self._throttle = throttle  # type: ignore[misc]
        self._parser = ThrottledParser(self._parser, throttle).as_parser()

    def data_received(self, data: bytes) -> None:
        now = self.shard.clock()
        if data:
            self._throttle.read(len(data), now)
        parser = cast("ThrottledParser", self._parser)
        parser.now = now
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
                if not self._throttle.is_waiting:
                    self._throttle.is_waiting = True
                    self.shard.at(now + hold_s, self._waited)
                return
        super()._next_turn()

    def _waited(self, now: float) -> None:
        self._throttle.is_waiting = False
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


class ThrottledTransport(_Throttled):
    """See the module."""

    __slots__ = ("_throttle",)


class ThrottledCompressingTransport(_Throttled, CompressingTransport):
    """The same of one whose client compresses: bytes are counted as they come, and messages when they are decompressed."""

    __slots__ = ("_throttle",)
