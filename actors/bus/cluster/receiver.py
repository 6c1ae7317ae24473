"""`ClusterReceiver`: what comes back from the gateway, each message once, whatever gateway there is.

Made by the cluster's bus. It knows of each joined room up to which sequence it has all, hears the acknowledgements for what this
worker has published, and resumes where another gateway has taken over. It publishes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import zmq

from wspulse.actors.bus.cluster.buckets import bucket_of, partition_of
from wspulse.actors.bus.cluster.message import (
    ACKNOWLEDGEMENT_PREFIX,
    RESUME_PREFIX,
    Acknowledgement,
    acknowledgement_topic,
    resume_topic,
    split_probe,
    tag_of,
    unpack_acknowledgement,
    untagged,
)
from wspulse.actors.bus.cluster.seen import SeenWatch
from wspulse.actors.bus.message import ROOM_PREFIX, room_of, unpack
from wspulse.actors.bus.receiving.receiver import Receiver
from wspulse.actors.bus.receiving.subscriptions import TellRooms
from wspulse.actors.values.metrics import Metrics

__all__ = ["ClusterReceiver"]

_ACKNOWLEDGEMENT, _RESUME = ACKNOWLEDGEMENT_PREFIX[0], RESUME_PREFIX[0]

_NO_TAG = -1


class ClusterReceiver(Receiver):
    """See the module. `acknowledged` is called with what the gateway says of our messages, `resumed` when there is another
    gateway, or we may have missed something of the one there was."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        *,
        shard: int,
        incarnation: int,
        origin: int,
        metrics: Metrics,
        deliver: Callable[[str, bytes], None],
        deliver_but: Callable[[str, bytes, frozenset[str]], None],
        marked: Callable[[int, int, int], None],
        last_word: Callable[[int], None],
        publish_probe: Callable[[bytes], None],
        tell_rooms: TellRooms,
        acknowledged: Callable[[Acknowledgement], None],
        resumed: Callable[[], None],
    ) -> None:
        self.watch = SeenWatch()
        super().__init__(
            context,
            endpoint,
            shard=shard,
            incarnation=incarnation,
            metrics=metrics,
            deliver=deliver,
            deliver_but=deliver_but,
            marked=marked,
            last_word=last_word,
            publish_probe=publish_probe,
            tell_rooms=tell_rooms,
            gaps=self.watch,
        )
        self._origin = origin
        self._acknowledged = acknowledged
        self._resumed = resumed
        self._tag = _NO_TAG
        """Of the gateway whose rooms' messages are delivered; the others' are dropped."""
        self._life = 0
        self._resume: bytes | None = None
        """The topic that is to come back before anything of this gateway is delivered."""
        self._resumes = 0
        self._subscribe.setsockopt(zmq.SUBSCRIBE, acknowledgement_topic(origin))
        self._schedule_look()

    @property
    def resumed(self) -> int:
        """How often we have resumed; 0 while we do, and rooms' messages are dropped."""
        return 0 if self._tag == _NO_TAG else self._resumes

    def _receive(self, data: bytes) -> None:
        message = unpack(data)
        tag, sequence = untagged(message.sequence)
        self._metrics.bus_messages_in += 1
        if tag != self._tag or not self.watch.is_new(message, sequence):
            return
        if not self.watch.follows(message):
            self._metrics.bus_gaps += 1
            self._gap_log.missed(message, self._loop.time())
        if message.excluded:
            self._deliver_but(message.room_id, message.frames[0], message.excluded)
            return
        for wire in message.frames:
            self._deliver(message.room_id, wire)

    def _probed(self, data: bytes) -> None:
        topic, positions = split_probe(data)
        for joined in self.subscriptions.proven_by(topic):
            if joined.startswith(ROOM_PREFIX):
                self.watch.begins_at(room_of(joined), positions[partition_of(bucket_of(joined))])
        self.subscriptions.returned(topic)

    def _receive_other(self, kind: int, data: bytes) -> None:
        if kind == _ACKNOWLEDGEMENT:
            acknowledgement = unpack_acknowledgement(data)
            if acknowledgement.pairs:
                self._acknowledged(acknowledgement)
            else:
                self._begin_resuming(acknowledgement.life)
        elif kind == _RESUME and data == self._resume:
            self._end_resuming()
            self._tag = tag_of(self._life)

    def _begin_resuming(self, life: int) -> None:
        """A gateway has heard that we are there; our socket may have told it its topics in any order."""
        self._end_resuming()
        self._tag = _NO_TAG
        self._life = life
        self._resumes += 1
        has_rooms = bool(self.watch.rooms)
        self._resume = resume_topic(self._origin, life, self._resumes, has_rooms=has_rooms)
        self._subscribe.setsockopt(zmq.SUBSCRIBE, self._resume)
        self._schedule_look()
        self.subscriptions.probe_again(life)
        self._resumed()

    def _end_resuming(self) -> None:
        if self._resume is not None:
            self._subscribe.setsockopt(zmq.UNSUBSCRIBE, self._resume)
            self._resume = None
            self._schedule_look()
