"""`Subscriptions`: the rooms and cuts that one shard has joined on the bus: subscribing, the barrier, telling the other shards.

The receiver owns it and gives it its subscribing socket. A topic is joined when everything published from then on certainly
comes; a room is left for the other shards when nothing comes any more. Both are proven by a probe: see README.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from typing import Protocol

import zmq

from wspulse.actors.bus.message import ROOM_PREFIX, GapWatch, probe_topic, room_topic

__all__ = ["Subscriptions", "TellRooms", "subscribing_socket"]

_PROBE_FIRST_S = 0.0002
_PROBE_MOST_S = 0.05

_LEFT_TOLD_S = 1.0
"""How long rooms that were left are gathered: others count for us what does not come, and nobody waits for their word."""


def subscribing_socket(context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> zmq.Socket[bytes]:
    """That of the bus, at the forwarder's endpoint."""
    subscribe: zmq.Socket[bytes] = context.socket(zmq.SUB)
    # No high-water mark on the receiving side: there it would drop silently. Flow control bounds what can pile up.
    subscribe.setsockopt(zmq.RCVHWM, 0)
    # Nor on its subscriptions, of which it drops silently as well what is beyond it: a shard whose rooms are all joined at
    # once would lack some, or the probe that proves them.
    subscribe.setsockopt(zmq.SNDHWM, 0)
    subscribe.setsockopt(zmq.LINGER, 0)
    subscribe.connect(endpoint)
    return subscribe


class TellRooms(Protocol):
    """Tell the others, or one of them, of rooms that this shard has joined, and of some that it has left. `are_all`: it has
    joined no others."""

    def __call__(
        self, joined: list[bytes], left: list[bytes], *, are_all: bool = False, shard: int | None = None
    ) -> None: ...


class _Joining:
    """A topic on its way to be joined, once."""

    __slots__ = ("joined", "topic")

    def __init__(self, topic: bytes, joined: Callable[[], None]) -> None:
        self.topic = topic
        self.joined = joined


class _Probe:
    """What its return proves: of topics that were joined, and of rooms that were left."""

    __slots__ = ("joins", "left", "timer")

    def __init__(self, joins: list[_Joining], left: set[str]) -> None:
        self.joins = joins
        self.left = left
        self.timer: asyncio.TimerHandle | None = None


class Subscriptions:
    """See the module. `publish_probe` pushes a probe if the forwarder takes it now; `touched` is called when the socket has
    been used, `failed` with what somebody raised who was told that a topic is joined. `gaps` has the rooms that are joined,
    whether their probe has returned or not."""

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        shard: int,
        incarnation: int,
        *,
        gaps: GapWatch,
        publish_probe: Callable[[bytes], None],
        touched: Callable[[], None],
        tell_rooms: TellRooms,
        failed: Callable[[Exception], None],
    ) -> None:
        self._socket = socket
        self._life = (shard, incarnation)
        self._publish_probe = publish_probe
        self._touched = touched
        self._tell_rooms = tell_rooms
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        """In which the loop calls us: that of a handler, which joins and leaves, would be kept."""
        self._gaps = gaps
        self._joining: dict[bytes, _Joining] = {}
        """By their topics those that are not joined yet, and will be if nobody leaves them."""
        self._turn_joins: list[_Joining] = []
        self._left: set[str] = set()
        """Left, with no probe under way that would prove it."""
        self._tell_left: asyncio.TimerHandle | None = None
        self._probes: dict[bytes, _Probe] = {}
        self._probe_number = 0
        self._gateway_life = 0
        """Of the gateway by which probes are answered, where there is one."""
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True
        for timer in (self._tell_left, *(probe.timer for probe in self._probes.values())):
            if timer is not None:
                timer.cancel()

    def join(self, room_id: str, joined: Callable[[], None]) -> None:
        self._gaps.joined(room_id)
        self._join(room_topic(room_id), joined)

    def leave(self, room_id: str) -> None:
        self._gaps.left(room_id)
        if self._stopped:
            return
        self.unwatch(room_topic(room_id))
        self._left.add(room_id)
        if self._tell_left is None:
            self._tell_left = self._loop.call_later(_LEFT_TOLD_S, self._probe_left, context=self._context)

    def watch(self, topic: bytes, watched: Callable[[], None]) -> None:
        """Join a topic that is not a room's. The other shards are not told, so nothing counts against this one for it."""
        self._join(topic, watched)

    def unwatch(self, topic: bytes) -> None:
        self._joining.pop(topic, None)
        if not self._stopped:
            self._socket.setsockopt(zmq.UNSUBSCRIBE, topic)
            self._touched()

    def joining_rooms(self) -> list[Callable[[], None]]:
        """What to call once the rooms that are being joined are joined."""
        return [each.joined for topic, each in self._joining.items() if topic.startswith(ROOM_PREFIX)]

    def tell_all(self, shard: int) -> None:
        """Tell a shard, which may know nothing, of every room of which something may come here."""
        rooms = set(self._gaps.rooms).union(self._left, *(probe.left for probe in self._probes.values()))
        self._tell_rooms([room_topic(room_id) for room_id in rooms], [], are_all=True, shard=shard)

    def proven_by(self, topic: bytes) -> list[bytes]:
        """What is joined when this probe has returned."""
        probe = self._probes.get(topic)
        return [] if probe is None else [each.topic for each in probe.joins if self._joining.get(each.topic) is each]

    def probe_again(self, gateway_life: int) -> None:
        """Somebody else answers probes from now on, and may have heard of subscriptions in another order than ours: those that
        are under way prove nothing."""
        self._gateway_life = gateway_life
        for topic, probe in list(self._probes.items()):
            self._end(topic, probe)
            self._send_probe(probe)

    def returned(self, topic: bytes) -> None:
        """A probe came; perhaps not for the first time."""
        probe = self._probes.get(topic)
        if probe is None:
            return
        self._end(topic, probe)
        for each in probe.joins:
            # A topic that was left and joined again since waits for its later probe.
            if self._joining.get(each.topic) is each:
                del self._joining[each.topic]
                try:
                    each.joined()
                except Exception as error:
                    self._failed(error)  # the others wait for no probe but this
        self._tell_gone(probe.left)

    def _join(self, topic: bytes, joined: Callable[[], None]) -> None:
        self._joining[topic] = joining = _Joining(topic, joined)
        if not self._turn_joins:
            self._loop.call_soon(self._tell_turn, context=self._context)
        self._turn_joins.append(joining)

    # A turn's joins: the others know of them before the subscriptions can take effect.

    def _tell_turn(self) -> None:
        if self._stopped:
            return
        joins, self._turn_joins = self._turn_joins, []
        if rooms := [each.topic for each in joins if each.topic.startswith(ROOM_PREFIX)]:
            self._tell_rooms(rooms, [])
        # Behind the links' own writes of this turn: what is told is with the kernel then, even if we are stopped here.
        self._loop.call_soon(self._subscribe_turn, joins, context=self._context)

    def _subscribe_turn(self, joins: list[_Joining]) -> None:
        if self._stopped:
            return
        for each in joins:
            if self._joining.get(each.topic) is each:
                self._socket.setsockopt(zmq.SUBSCRIBE, each.topic)
        self._send_probe(_Probe(joins, set()))

    # Rooms that were left.

    def _probe_left(self) -> None:
        self._tell_left = None
        left, self._left = self._left, set()
        self._send_probe(_Probe([], left))

    def _tell_gone(self, rooms: set[str]) -> None:
        """What was left when the probe went out has come to its end, unless it was joined or left again since."""
        gone = [room_topic(room_id) for room_id in rooms - self._left if room_id not in self._gaps.rooms]
        if gone:
            self._tell_rooms([], gone)

    # Probes.

    def _send_probe(self, probe: _Probe) -> None:
        self._probe_number += 1
        topic = probe_topic(*self._life, self._probe_number, self._gateway_life)
        self._probes[topic] = probe
        self._socket.setsockopt(zmq.SUBSCRIBE, topic)
        self._touched()
        self._probe(topic, _PROBE_FIRST_S)

    def _probe(self, topic: bytes, again_s: float) -> None:
        probe = self._probes[topic]
        if not probe.left and not any(self._joining.get(each.topic) is each for each in probe.joins):
            # Every topic was left again before it was joined.
            self._end(topic, probe)
            return
        self._publish_probe(topic)
        then_s = min(again_s * 2, _PROBE_MOST_S)
        probe.timer = self._loop.call_later(again_s, self._probe, topic, then_s, context=self._context)

    def _end(self, topic: bytes, probe: _Probe) -> None:
        if probe.timer is not None:
            probe.timer.cancel()
        del self._probes[topic]
        self._socket.setsockopt(zmq.UNSUBSCRIBE, topic)
        self._touched()
