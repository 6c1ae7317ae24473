"""`Receiver`: takes what comes of the bus, and gives it away in its order: frames, marks, cuts, echoes, probes.

Made by the bus, with a socket of its own. That socket's descriptor tells only of *changes*, and any operation on the socket may
use one up: so it is drained until EAGAIN, whatever those raise who are given something, and whoever touches the socket
schedules a look at it. It publishes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context

import zmq

from wspulse.actors.bus.message import (
    CUT_PREFIX,
    ECHO_PREFIX,
    LAST_WORD_PREFIX,
    MARK_PREFIX,
    PROBE_PREFIX,
    ROOM_PREFIX,
    GapWatch,
    cut_topic,
    echo_topic,
    mark_topic,
    unpack,
    unpack_cut,
    unpack_last_word,
    unpack_mark,
)
from wspulse.actors.bus.receiving.failures import Failures
from wspulse.actors.bus.receiving.gap_log import GapLog
from wspulse.actors.bus.receiving.subscriptions import Subscriptions, TellRooms, subscribing_socket
from wspulse.actors.values.metrics import Metrics

__all__ = ["Receiver"]

_DRAIN_BUDGET = 256
"""Messages taken from the bus in one go; then sockets have their turn."""

_ROOM, _MARK, _PROBE, _ECHO = ROOM_PREFIX[0], MARK_PREFIX[0], PROBE_PREFIX[0], ECHO_PREFIX[0]
_CUT, _LAST_WORD = CUT_PREFIX[0], LAST_WORD_PREFIX[0]


class Receiver:
    """See the module. `deliver(room_id, wire)` takes a frame, `deliver_but` one that some do not get; `marked(shard, sender,
    number)` a mark for this shard, `last_word(incarnation)` the end of what a process has published; `gaps` is asked of each
    message whether one is missing before it."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        *,
        shard: int,
        incarnation: int,
        metrics: Metrics,
        deliver: Callable[[str, bytes], None],
        deliver_but: Callable[[str, bytes, frozenset[str]], None],
        marked: Callable[[int, int, int], None],
        last_word: Callable[[int], None],
        publish_probe: Callable[[bytes], None],
        tell_rooms: TellRooms,
        gaps: GapWatch | None = None,
    ) -> None:
        self._metrics = metrics
        self._deliver = deliver
        self._deliver_but = deliver_but
        self._marked = marked
        self._last_word = last_word
        self._loop = asyncio.get_running_loop()
        self._own = copy_context()  # in which the loop calls us: that of a handler, which joins a room, would be kept
        self._subscribe = subscribing_socket(context, endpoint)
        self._stopped = False
        self._gaps = gaps or GapWatch()
        self._gap_log = GapLog()
        self._failures = Failures()
        self._look_scheduled = False
        self._passed: dict[int, Callable[[int], None]] = {}
        """Who is told of the cuts of an incarnation."""
        self.echoed: Callable[[bytes], None] = lambda _data: None
        self.subscriptions = Subscriptions(
            self._subscribe,
            shard,
            incarnation,
            gaps=self._gaps,
            publish_probe=publish_probe,
            touched=self._schedule_look,
            tell_rooms=tell_rooms,
            failed=self._failed,
        )
        self._subscribe.setsockopt(zmq.SUBSCRIBE, mark_topic(shard))
        self._subscribe.setsockopt(zmq.SUBSCRIBE, echo_topic(shard, incarnation))
        self._subscribe.setsockopt(zmq.SUBSCRIBE, LAST_WORD_PREFIX)
        self._loop.add_reader(self._subscribe.fileno(), self._look)

    def stop(self) -> None:
        self._stopped = True
        self.subscriptions.stop()
        self._passed.clear()
        self._loop.remove_reader(self._subscribe.fileno())
        self._subscribe.close()

    def watch_cuts(self, source: int, passed: Callable[[int], None], watched: Callable[[], None]) -> None:
        """See `CuttingBus`."""
        self.unwatch_cuts(source)
        self._passed[source] = passed
        self.subscriptions.watch(cut_topic(source), watched)

    def unwatch_cuts(self, source: int) -> None:
        if self._passed.pop(source, None) is not None:
            self.subscriptions.unwatch(cut_topic(source))

    def _schedule_look(self) -> None:
        if not self._look_scheduled:
            self._look_scheduled = True
            self._loop.call_soon(self._look, context=self._own)

    def _look(self) -> None:
        """Take what has come, within a budget."""
        self._look_scheduled = False
        is_drained = False
        try:
            is_drained = self._stopped or self._drain()
        except Exception as error:
            self._failed(error)
        finally:
            if not is_drained:
                self._schedule_look()

    def _drain(self) -> bool:
        """Whether nothing is left."""
        recv = self._subscribe.recv
        for _ in range(_DRAIN_BUDGET):
            try:
                data = recv(zmq.NOBLOCK)
            except zmq.Again:
                return True
            kind = data[0]
            if kind == _ROOM:
                self._receive(data)
                continue
            if kind == _MARK:
                self._marked(*unpack_mark(data))
            elif kind == _PROBE:
                self._probed(data)
            elif kind == _ECHO:
                self.echoed(data)
            elif kind == _CUT:
                self._cut(*unpack_cut(data))
            elif kind == _LAST_WORD:
                self._last_word(unpack_last_word(data))
            else:
                self._receive_other(kind, data)
            if self._stopped:
                return True
        return False

    def _receive(self, data: bytes) -> None:
        self._metrics.bus_messages_in += 1
        message = unpack(data)
        if not self._gaps.follows(message):
            self._metrics.bus_gaps += 1
            self._gap_log.missed(message, self._loop.time())
        if message.excluded:
            self._deliver_but(message.room_id, message.frames[0], message.excluded)
            return
        for wire in message.frames:
            self._deliver(message.room_id, wire)

    def _probed(self, data: bytes) -> None:
        self.subscriptions.returned(data)

    def _receive_other(self, kind: int, data: bytes) -> None:
        """Of a kind that comes on no topic to which this has subscribed."""

    def _cut(self, source: int, number: int) -> None:
        passed = self._passed.get(source)
        if passed is not None:  # else it was on its way when we left
            passed(number)

    def _failed(self, error: Exception) -> None:
        self._failures.raised(error, self._loop.time())
