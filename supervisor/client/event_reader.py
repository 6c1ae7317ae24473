"""`EventReader`: events out of what was received, each knowing whether one is missing before it.

Made by `Subscription`. No I/O.
"""

from __future__ import annotations

import msgspec

from wspulse.supervisor.protocol.types import Event

__all__ = ["EventReader"]

KNOWN_TOPICS = 100_000
"""Topics whose last number is remembered. Beyond that all are forgotten: a gap in one of them is then not seen, once."""

_decode = msgspec.msgpack.Decoder(Event).decode


class EventReader:
    """Looks at the numbers of the events of one stream, in the order in which they came."""

    def __init__(self) -> None:
        self._last: dict[bytes, int] = {}
        self._interrupted = False

    def interrupted(self) -> None:
        """The stream was cut: the next event follows on nothing."""
        self._interrupted = True
        self._last.clear()

    def read(self, parts: list[bytes]) -> Event | None:
        """None for what is no event."""
        if len(parts) != 2:
            return None
        try:
            event = _decode(parts[1])
        except (ValueError, RecursionError):
            return None
        topic = parts[0]
        last = self._last.get(topic)
        event.missed = self._interrupted or (last is not None and event.prev != last)
        self._interrupted = False
        if len(self._last) >= KNOWN_TOPICS:
            self._last.clear()
        self._last[topic] = event.seq
        return event
