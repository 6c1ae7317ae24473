"""`EventPublisher`: the PUB side of the events, with a number for each of them.

Created by the control plane. It knows what anybody subscribes to and has the workers told, so that nothing is made for
nobody; what workers send it numbers and publishes. A subscriber that does not read loses events and sees it in the
numbers. It waits for nobody.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import msgspec
import zmq

from wspulse.supervisor.protocol.lookout import Lookout
from wspulse.supervisor.protocol.received import Received

__all__ = ["EventPublisher"]

SEND_HIGH_WATER_EVENTS = 5000
"""Per subscriber; beyond that its events are dropped. With the limit on payloads in events, 80 MB at the very most."""

KNOWN_TOPICS = 100_000
"""Topics whose last number is remembered. Beyond that all are forgotten: `prev` is 0, unknown, once."""

MOST_PREFIXES = 100
"""Beyond that workers are told to send everything."""

SUBSCRIPTION_BYTES = 1024

DRAIN_BUDGET = 256
"""Subscriptions taken in one go; then the loop's other work has its turn."""

PROBE_PREFIX = b"ping."
"""Topics of probes, by which subscribers see that their subscriptions are active."""

_NUMBERS = struct.Struct(">5sQ6sQ")
_FIXMAP = 0x80


class EventPublisher:
    """Serves on `publisher`, an XPUB that is bound already. `watch(prefixes)` is called when what is wanted has changed."""

    def __init__(self, publisher: zmq.Socket[bytes], endpoint: str, watch: Callable[[list[bytes]], None]) -> None:
        self._publisher = publisher
        self.endpoint = endpoint
        self._watch = watch
        self._topics: set[bytes] = set()
        self._number = 0
        self._previous: dict[bytes, int] = {}
        self._lookout = Lookout(self._look, publisher)

    @staticmethod
    def prepare(publisher: zmq.Socket[bytes]) -> None:
        """Set what must be set before it is bound."""
        publisher.setsockopt(zmq.LINGER, 200)
        publisher.setsockopt(zmq.SNDHWM, SEND_HIGH_WATER_EVENTS)
        publisher.setsockopt(zmq.MAXMSGSIZE, SUBSCRIPTION_BYTES)

    @property
    def prefixes(self) -> list[bytes]:
        """What the topics of wanted events begin with."""
        topics = [topic for topic in self._topics if not topic.startswith(PROBE_PREFIX)]
        return [b""] if b"" in topics or len(topics) > MOST_PREFIXES else sorted(topics)

    def open(self) -> None:
        self._lookout.open()

    def close(self) -> None:
        if not self._lookout.is_closed:
            self._lookout.close()
            self._publisher.close()

    def bound_again(self) -> None:
        """The socket has got a further address, which may have used up a change of its descriptor."""
        self._lookout.again()

    def publish(self, topic: bytes, event: bytes) -> None:
        """Publish an event: a msgpack map of at most 13 entries, to which its numbers are added."""
        if self._lookout.is_closed:
            return
        self._number += 1
        previous = self._previous
        numbers = _NUMBERS.pack(b"\xa3seq\xcf", self._number, b"\xa4prev\xcf", previous.get(topic, 0))
        if len(previous) >= KNOWN_TOPICS:
            previous.clear()
        previous[topic] = self._number
        # The map's first byte says how many entries it has; ours come first.
        data = bytes((event[0] + 2,)) + numbers + event[1:]
        self._send(topic, data)

    def publish_own(self, kind: str, fields: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """Publish an event of the supervisor. Returns its topic, and the event without its numbers."""
        event = kind.encode(), msgspec.msgpack.encode({"kind": kind, "time": time.time(), **fields})
        self.publish(*event)
        return event

    def publish_probe(self, token: str) -> None:
        """Publish an event without a number, so that it is nobody's gap."""
        if not self._lookout.is_closed:
            fields = {"kind": "ping", "seq": 0, "prev": 0, "time": time.time()}
            self._send(f"ping.{token}".encode(), msgspec.msgpack.encode(fields))

    def _send(self, topic: bytes, data: bytes) -> None:
        try:
            self._publisher.send_multipart((topic, data), zmq.NOBLOCK)
        except zmq.Again:
            pass
        self._lookout.again()

    def skip(self, events: int) -> None:
        """Some events are missing here: make it visible in the numbers of what follows."""
        self._number += events
        self._previous.clear()

    def _look(self) -> None:
        before = self.prefixes
        given_up: list[bytes] = []
        received = Received(self._publisher, DRAIN_BUDGET)
        for change in chain.from_iterable(received):
            if change[:1] == b"\x01":
                self._topics.add(change[1:])
            elif change[:1] == b"\x00" and change[1:] in self._topics:
                self._topics.remove(change[1:])
                given_up.append(change[1:])
        prefixes = self.prefixes
        self._forget(given_up, tuple(prefixes))
        if prefixes != before:
            self._watch(prefixes)
        if not received.is_all:
            self._lookout.again()

    def _forget(self, given_up: list[bytes], wanted: tuple[bytes, ...]) -> None:
        """Nothing is made any more for topics that begin with a prefix that was given up, and with none that is wanted: who comes
        back to one of them must see in the numbers that something may be missing."""
        gone = tuple(
            prefix for prefix in given_up if not prefix.startswith(PROBE_PREFIX) and not prefix.startswith(wanted)
        )
        if not gone:
            return
        self._number += 1
        for topic in [topic for topic in self._previous if topic.startswith(gone) and not topic.startswith(wanted)]:
            del self._previous[topic]
