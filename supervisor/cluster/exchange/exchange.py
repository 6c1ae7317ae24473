"""`Exchange`: joins the sockets of this host's workers to the feed of the cluster.

One per gateway, in the place of the forwarder: workers push to it and subscribe to it as they would there. A room's message goes
to the feed and is acknowledged when that has it; what the feed delivers goes to the workers that want it. Marks, cuts and echoes
do not leave the host. It keeps no book of rooms: the subscriptions tell it which buckets are wanted here, and who has joined.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import zmq

from wspulse.actors.bus.cluster.buckets import bucket_of
from wspulse.actors.bus.cluster.message import (
    ACKNOWLEDGEMENT_PREFIX,
    RESUME_PREFIX,
    acknowledgement_origin,
    pack_acknowledgement,
    pack_positions,
    probe_life,
    resume_has_rooms,
    resume_life,
    tag_of,
    tagged,
)
from wspulse.actors.bus.message import ECHO_PREFIX, PROBE_PREFIX, ROOM_PREFIX, with_sequence
from wspulse.actors.values.log_limit import LogLimit
from wspulse.supervisor.cluster.exchange.feed_port import FeedPort
from wspulse.supervisor.cluster.exchange.held import Held
from wspulse.supervisor.cluster.exchange.loop_socket import LoopSocket
from wspulse.supervisor.cluster.exchange.outgoing import Outgoing
from wspulse.supervisor.cluster.exchange.positions import Positions
from wspulse.supervisor.cluster.exchange.wanted import Bucket, Wanted
from wspulse.supervisor.errors import StartError

__all__ = ["Exchange"]

_LINGER_S = 10.0
"""How long a bucket stays wanted without a room, since people come back, and wanting is dear."""

_PULL_HIGH_WATER = 1000
"""Messages, per worker, that wait in this process to be looked at."""

_TICK_S = 1.0

_FIRST_S = 10.0
"""How long after its beginning a gateway expects workers of the one before. They are back within a second, if they are not
stopped; and a third gateway has so much more to deliver again."""

_RESUME_S = 0.1
"""How long workers that resume are gathered: each time all is delivered again that some of them may have missed. ZeroMQ spreads
their return over so long a time."""

_ROOM, _PROBE, _ECHO = ROOM_PREFIX[0], PROBE_PREFIX[0], ECHO_PREFIX[0]
_ACKNOWLEDGEMENT, _RESUME = ACKNOWLEDGEMENT_PREFIX[0], RESUME_PREFIX[0]


_logger = logging.getLogger("wspulse.cluster")


class Exchange:
    """See the module. `life` is a random number from 1 to 2**53 - 1, another one for each gateway. Raises StartError when a path
    cannot be bound."""

    def __init__(self, push_path: str, subscribe_path: str, feed: FeedPort, positions: Positions, life: int) -> None:
        self.paths = (push_path, subscribe_path)
        """The files of its sockets."""
        self._feed = feed
        self._positions = positions
        self._life = life
        self._tag = tag_of(life)
        self._loop = asyncio.get_running_loop()
        self._wanted = Wanted()
        self._held = Held(self._wanted)
        self._outgoing = Outgoing(feed, self._acknowledged)
        self._acknowledgements: dict[int, list[tuple[int, int]]] = {}
        """Of this turn, by origin."""
        self._probes: dict[bytes, set[int]] = {}
        """Topics, and the buckets that are to be proven before they are answered; none for one that is."""
        self._resuming: list[bytes] = []
        """Topics that are answered when all is sent again."""
        self._late_probes: dict[bytes, None] = {}
        """Those that came meanwhile."""
        self._resume_timer: asyncio.TimerHandle | None = None
        self._until_first = self._loop.time() + _FIRST_S
        self._has_first = True
        self._is_closed = False
        self._limit = LogLimit()
        self._context = zmq.Context()
        with ExitStack() as made:
            made.callback(self._context.term)
            self._pull = self._bound(zmq.PULL, push_path, self._pushed)
            made.callback(self._pull.close)
            self._publish = self._bound(zmq.XPUB, subscribe_path, self._subscription)
            made.pop_all()
        self._timer = self._loop.call_later(_TICK_S, self._tick)

    async def stop(self, patience_s: float = 2.0) -> None:
        """Publish what is under way, for so long at most, and close."""
        await self._outgoing.settled(patience_s)
        self.close()

    def close(self) -> None:
        """At once; what is not acknowledged the workers have."""
        if self._is_closed:
            return
        self._is_closed = True
        self._timer.cancel()
        if self._resume_timer is not None:
            self._resume_timer.cancel()
        self._outgoing.abandon()
        self._pull.close()
        self._publish.close()
        self._context.term()

    def rebind(self) -> None:
        """Bind what is not at its path any more; who is connected stays so. Whether it could is seen by the files."""
        self._pull.bind_again()
        self._publish.bind_again()

    def deliver(self, number: int, sequence: int, data: bytes) -> None:
        """Take a message from the feed: see `FeedPort`."""
        bucket = self._wanted.buckets.get(number)
        if bucket is None or self._is_closed:
            return
        if data[:1] == ROOM_PREFIX and (message := with_sequence(data, tagged(self._tag, sequence))) is not None:
            self._publish.send(message)
        elif (not_logged := self._limit.admit(self._loop.time())) is not None:
            _logger.error(
                "a message in the cluster's stream is none of a room and was skipped: somebody else publishes there",
                extra={"bucket": number, "not_logged": not_logged},
            )
        self._wanted.forwarded(bucket, sequence)
        self._positions.note(number, sequence)
        if self._held:
            self._let_go_on()

    # What workers push.

    def _pushed(self, data: bytes) -> None:
        kind = data[0]
        if kind == _ROOM:
            self._outgoing.publish(data)
        elif kind == _ECHO:
            self._publish.send(data)
        elif kind == _PROBE:
            if self._probes.get(data) == set():
                self._answer(data)
        elif self._held or self._wanted.lagging:
            self._held.hold(data, self._loop.time())
        else:
            self._publish.send(data)

    def _acknowledged(self, number: int, origin: int, message: int, sequence: int) -> None:
        self._wanted.acknowledged(number, sequence)
        if not self._acknowledgements:
            self._loop.call_soon(self._acknowledge)
        self._acknowledgements.setdefault(origin, []).append((message, sequence))

    def _acknowledge(self) -> None:
        """One message for each worker with what was acknowledged in this turn."""
        if self._is_closed:
            return
        acknowledgements, self._acknowledgements = self._acknowledgements, {}
        for origin, pairs in acknowledgements.items():
            self._publish.send(pack_acknowledgement(origin, self._life, pairs))

    def _let_go_on(self) -> None:
        for data in self._held.going_on(self._loop.time()):
            self._publish.send(data)

    # To what workers subscribe.

    def _subscription(self, data: bytes) -> None:
        topic = data[1:]
        if not topic:
            return
        (self._subscribed if data[0] else self._unsubscribed)(topic)

    def _subscribed(self, topic: bytes) -> None:
        kind = topic[0]
        if kind == _ROOM:
            self._room_wanted(bucket_of(topic))
        elif kind == _PROBE:
            if probe_life(topic) == self._life:
                self._probed(topic)
        elif kind == _ACKNOWLEDGEMENT:
            self._publish.send(pack_acknowledgement(acknowledgement_origin(topic), self._life, ()))
        elif kind == _RESUME and resume_life(topic) == self._life:
            self._resumed(topic)

    def _unsubscribed(self, topic: bytes) -> None:
        kind = topic[0]
        if kind == _ROOM:
            bucket = self._wanted.buckets[bucket_of(topic)]
            bucket.topics -= 1
            if not bucket.topics:
                bucket.empty_since = self._loop.time()
        elif kind == _PROBE:
            self._probes.pop(topic, None)
            self._late_probes.pop(topic, None)

    def _room_wanted(self, number: int) -> None:
        bucket = self._wanted.buckets.get(number)
        if bucket is None:
            position = self._positions.of(number)
            bucket = self._wanted.add(number, position or 0)
            self._ask(bucket, position)
        bucket.topics += 1
        bucket.empty_since = None

    def _ask(self, bucket: Bucket, position: int | None) -> None:
        bucket.wish += 1
        self._feed.want(bucket.number, partial(self._proven, bucket, bucket.wish), position)

    def _proven(self, bucket: Bucket, wish: int, sequence: int) -> None:
        number = bucket.number
        if bucket.wish != wish or self._wanted.buckets.get(number) is not bucket or self._is_closed:
            return
        self._positions.begin(number, sequence)
        self._wanted.proven(bucket, sequence)
        self._positions.note(number, bucket.position)
        self._nobody_waits_for(number)
        if self._held:
            self._let_go_on()

    # Who has joined, and who is back.

    def _probed(self, topic: bytes) -> None:
        """All subscriptions that its worker has made before are known."""
        if self._resuming:
            self._late_probes[topic] = None
            return
        self._probes[topic] = set(self._wanted.unproven)
        if not self._probes[topic]:
            self._answer(topic)

    def _answer(self, topic: bytes) -> None:
        self._publish.send(topic + pack_positions(self._wanted.positions))

    def _resumed(self, topic: bytes) -> None:
        """All that a worker was subscribed to is known. What was forwarded before may have missed it."""
        has_missed = resume_has_rooms(topic) and any(each.has_forwarded for each in self._wanted.buckets.values())
        if not has_missed and not self._resuming:
            self._publish.send(topic)
            return
        self._resuming.append(topic)
        if self._resume_timer is None:
            self._resume_timer = self._loop.call_later(_RESUME_S, self._send_again)

    def _send_again(self) -> None:
        self._resume_timer = None
        resuming, self._resuming = self._resuming, []
        for topic in resuming:
            self._publish.send(topic)
        for bucket in self._wanted.buckets.values():
            position = self._positions.of(bucket.number)
            if bucket.has_forwarded and position is not None:
                self._feed.unwant(bucket.number)
                self._wanted.rewound(bucket, position)
                self._positions.rewound(bucket.number)
                self._ask(bucket, position)
        late, self._late_probes = self._late_probes, {}
        for topic in late:
            self._probed(topic)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(_TICK_S, self._tick)
        now = self._loop.time()
        self._positions.write()
        if self._has_first and now > self._until_first:
            self._has_first = False
            for number in self._positions.forget_first():
                if number not in self._wanted.buckets:
                    self._positions.forget(number)
        for bucket in list(self._wanted.buckets.values()):
            if bucket.empty_since is not None and now - bucket.empty_since > _LINGER_S:
                self._wanted.remove(bucket.number)
                self._positions.forget(bucket.number)
                self._feed.unwant(bucket.number)
                self._nobody_waits_for(bucket.number)
        self._let_go_on()
        self.rebind()

    def _nobody_waits_for(self, number: int) -> None:
        """Any more: a bucket is proven, or not wanted."""
        for topic, awaited in list(self._probes.items()):
            if number in awaited:
                awaited.remove(number)
                if not awaited:
                    self._answer(topic)

    def _bound(self, kind: int, path: str, take: Callable[[bytes], None]) -> LoopSocket:
        bound: zmq.Socket[bytes] = self._context.socket(kind)
        bound.setsockopt(zmq.LINGER, 0)
        bound.setsockopt(zmq.SNDHWM, 0)
        # Subscriptions beyond a mark would be dropped silently.
        bound.setsockopt(zmq.RCVHWM, 0 if kind == zmq.XPUB else _PULL_HIGH_WATER)
        try:
            return LoopSocket(bound, path, take)
        except zmq.ZMQError as error:
            bound.close()
            raise StartError(f"the bus cannot be opened at {path}: {os.strerror(error.errno or 0)}") from None
