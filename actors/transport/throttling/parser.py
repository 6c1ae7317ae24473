"""`ThrottledParser`: a parser that gives no more messages than its peer may send.

Made by a throttled transport around its own parser. Where a message is due that may not be handled yet it says PAUSE, once for
each read, so that the transport has its turn end; whoever wants the rest of a transport that ends gets it without a limit.
"""

from __future__ import annotations

from typing import Any, cast

from wspulse.actors.transport.throttling.throttle import Throttle
from wspulse.actors.wire.frames import BINARY, PING
from wspulse.actors.wire.framing import PAUSE, FrameParser

__all__ = ["ThrottledParser"]

_NOT_YET = (PAUSE, b"")


class ThrottledParser:
    """See the module. All that is not here is the parser's own."""

    __slots__ = ("_parser", "_throttle", "counts", "now")

    def __init__(self, parser: FrameParser, throttle: Throttle) -> None:
        self._parser = parser
        self._throttle = throttle
        self.now = 0.0
        """Of the read that is handled."""
        self.counts = False
        """Whether there is a limit: while the transport hands messages to its session, and has not been told to pause."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    @property
    def rest(self) -> bytes | bytearray:
        return self._parser.rest

    def take(self, data: bytes) -> tuple[int, bytes] | None:
        if not self.counts:
            return self._parser.take(data)
        parser = self._parser
        if data:
            if not parser.rest and self._throttle.may_handle(self.now):
                return self._counted(parser.take(data))
            parser.feed(data)
        return self.next()

    def next(self) -> tuple[int, bytes] | None:
        if not self.counts or not self._parser.rest:
            return self._parser.next()
        if not self._throttle.may_handle(self.now):
            self.counts = False
            return _NOT_YET
        return self._counted(self._parser.next())

    def _counted(self, message: tuple[int, bytes] | None) -> tuple[int, bytes] | None:
        # Pongs answer what we have asked, and who says goodbye may.
        if message is not None and message[0] in _COUNTED:
            self._throttle.handled(self.now)
        return message

    def as_parser(self) -> FrameParser:
        """For whoever wants one."""
        return cast("FrameParser", self)


_COUNTED = frozenset({*range(BINARY + 1), PING})
