"""`Subscription`: what a stream of events knows: its topics, whether they are active, what has come, and what is missing.

Made by `EventStream` and `AsyncEventStream`, which connect, wait and come back; each connection begins it anew. No I/O.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from wspulse.actors.values.errors import ControlError
from wspulse.supervisor.client.event_reader import EventReader
from wspulse.supervisor.protocol.types import Event

__all__ = ["AWAY_S", "PROBE_S", "RECEIVE_HIGH_WATER_EVENTS", "Subscription", "no_events_error"]

PROBE_S = 0.05
"""Between two probes of a new subscription, and before another attempt when one has failed."""

AWAY_S = 0.5
"""How long one attempt to come back to a server takes at most."""

RECEIVE_HIGH_WATER_EVENTS = 100_000


class Subscription:
    """See the module. At most `most_waiting` events wait to be asked for; beyond that the oldest are dropped, and the next
    one says so. None: as many as come, since they are taken one at a time."""

    def __init__(self, topics: Iterable[str], most_waiting: int | None = None) -> None:
        self.topics = [topic.encode() for topic in topics] or [b""]
        self.is_active = False
        self.probe = b""
        """The topic of the probe that makes it active."""
        self._most_waiting = most_waiting
        self._has_begun = False
        self._reader = EventReader()
        self._waiting: deque[Event] = deque()

    def begin(self, token: str) -> None:
        """On a new connection, `token` being what its probes are asked for with. What happened since the one before is
        missing."""
        if self._has_begun:
            self._reader.interrupted()
        self._has_begun = True
        self.is_active = False
        self.probe = f"ping.{token}".encode()

    def take(self, parts: list[bytes]) -> bool:
        """Take what was received. Returns whether it changes anything: an event waits, or the subscription is active."""
        if parts[0] == self.probe:
            self.is_active = True
            return True
        event = self._reader.read(parts)
        if event is None or event.kind == "ping":
            return False
        self._waiting.append(event)
        if self._most_waiting is not None and len(self._waiting) > self._most_waiting:
            self._waiting.popleft()
            self._waiting[0].missed = True
        return True

    def next_event(self) -> Event | None:
        """The oldest that waits."""
        return self._waiting.popleft() if self._waiting else None


def no_events_error(endpoint: str, within_s: float) -> ControlError:
    """The subscription did not become active."""
    return ControlError(f"no events from {endpoint} within {within_s:g} s")
