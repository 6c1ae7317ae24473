"""The bus of several simulated processes: each has an end of it, and the forwarder puts all into one order.

The forwarder takes from its pushers in turn, which is drawn here: what one publishes may overtake what another has published
before, never its own. Each end gets all in that order, when the history lets it arrive. Joins take effect later.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from tests.support.simulation.outside.bus import broadcast_number
from tests.support.simulation.outside.processes.network import SimNetwork, Wire
from wspulse.actors.values.errors import ShardUnavailableError

if TYPE_CHECKING:
    from tests.support.simulation.model.moves import MovingModel
    from tests.support.simulation.outside.processes.process import SimProcess

__all__ = ["BusEnd", "SimForwarder"]

_STALL_S = 5.0


class _Frames:
    """Of one turn and one room."""

    __slots__ = ("excluded", "room_id", "turn", "wires")

    def __init__(self, room_id: str, turn: int, wire: bytes, excluded: frozenset[str]) -> None:
        self.room_id = room_id
        self.turn = turn
        self.wires = [wire]
        self.excluded = excluded


class SimForwarder:
    """See the module. To steps of a history it is the bus: they fill, free and move any of its ends."""

    def __init__(self, model: MovingModel, network: SimNetwork, draw: Callable[[], float]) -> None:
        self.model = model
        self.network = network
        self._draw = draw
        self.ends: list[BusEnd] = []
        self.leave_delay_s = 0.5
        self.cuts = 0
        """How many ends have yet to hear of a cut."""

    def _end(self) -> BusEnd:
        return self.ends[int(self._draw() * len(self.ends))]

    def pass_on(self, what: _Frames | tuple[int, int]) -> None:
        """It has its place in the order of all."""
        if isinstance(what, _Frames):
            for wire in what.wires:
                self.model.placed(what.room_id, broadcast_number(wire), what.excluded)
        else:
            self.cuts += len(self.ends)
        for end in self.ends:
            end.incoming.put(partial(end.take, what), None if isinstance(what, _Frames) else self._no_cut)

    def _no_cut(self) -> None:
        self.cuts -= 1

    @property
    def busy(self) -> bool:
        return self.network.busy or any(end.busy for end in self.ends)

    @property
    def rooms(self) -> set[str]:
        return set().union(*(end.rooms for end in self.ends))

    def is_joining(self, room_id: str) -> bool:
        return any(end.is_joining(room_id) for end in self.ends)

    def fill(self) -> None:
        self._end().fill()

    def free(self) -> None:
        for end in self.ends:
            end.free()

    def join_step(self) -> None:
        joining = [end for end in self.ends if end.joins and not end.process.is_stalled]
        if joining:
            joining[int(self._draw() * len(joining))].join_step()

    def deliver_step(self) -> None:
        self.network.step()


class BusEnd:
    """One process's end: see `CuttingBus`."""

    acknowledges = False

    def __init__(
        self,
        process: SimProcess,
        forwarder: SimForwarder,
        deliver: Callable[[str, bytes], None],
        deliver_but: Callable[[str, bytes, frozenset[str]], None],
        leave_delay_s: float,
    ) -> None:
        self.process = process
        self.leave_delay_s = leave_delay_s
        self._forwarder = forwarder
        self._model = forwarder.model
        self._deliver = deliver
        self._deliver_but = deliver_but
        self._full = False
        self.rooms: set[str] = set()
        self.joins: deque[tuple[str | int, Callable[[], None]]] = deque()
        self._watched: set[int] = set()
        self._passed: dict[int, Callable[[int], None]] = {}
        self.outgoing = Wire(forwarder.network, None)
        self.incoming = Wire(forwarder.network, process)
        self._newest: _Frames | None = None
        self._pushed: list[_Frames] = []
        """On their way to the forwarder."""
        self._waiters: deque[tuple[asyncio.Future[None], str, bytes, frozenset[str]]] = deque()
        forwarder.ends.append(self)

    def close(self) -> None:
        """The process has ended: what the forwarder has not got is lost."""
        for frames in self._pushed:
            self._model.room(frames.room_id).published -= len(frames.wires)
        self._pushed.clear()
        self.outgoing.cut()
        self.incoming.cut()
        self.joins.clear()
        self._forwarder.ends.remove(self)

    # The contract.

    def publish(self, room_id: str, wire: bytes) -> bool:
        if self._full or self._waiters:
            return False
        self._take(room_id, wire)
        return True

    def publish_but(self, room_id: str, wire: bytes, excluded: frozenset[str]) -> bool:
        if self._full or self._waiters:
            return False
        self._take(room_id, wire, excluded)
        return True

    async def publish_when_free(self, room_id: str, wire: bytes, excluded: frozenset[str] = frozenset()) -> None:
        loop = self._model.loop
        future: asyncio.Future[None] = loop.create_future()
        waiter = (future, room_id, wire, excluded)
        self._waiters.append(waiter)
        timer = loop.call_later(_STALL_S, self._stalled, waiter)
        try:
            await future
        finally:
            timer.cancel()

    def join(self, room_id: str, joined: Callable[[], None]) -> None:
        self.joins.append((room_id, joined))

    def leave(self, room_id: str) -> None:
        self.rooms.discard(room_id)
        self.joins = deque(join for join in self.joins if join[0] != room_id)

    def cut(self, number: int) -> None:
        self._newest = None
        self.outgoing.put(partial(self._forwarder.pass_on, (self.process.incarnation, number)))

    def watch_cuts(self, source: int, passed: Callable[[int], None], watched: Callable[[], None]) -> None:
        self._passed[source] = passed
        self.joins.append((source, watched))

    def unwatch_cuts(self, source: int) -> None:
        self._watched.discard(source)
        self._passed.pop(source, None)
        self.joins = deque(join for join in self.joins if join[0] != source)

    # What the simulation decides.

    @property
    def busy(self) -> bool:
        return bool(self.joins or self._waiters)

    @property
    def is_watching(self) -> bool:
        return bool(self._passed or self._watched)

    def is_joining(self, room_id: str) -> bool:
        return any(join[0] == room_id for join in self.joins)

    def fill(self) -> None:
        self._full = True

    def free(self) -> None:
        self._full = False
        while self._waiters:
            future, room_id, wire, excluded = self._waiters.popleft()
            if not future.done():
                self._take(room_id, wire, excluded)
                future.set_result(None)

    def join_step(self) -> None:
        """The oldest join takes effect, or, when it has, is reported."""
        what, joined = self.joins[0]
        effective = self.rooms if isinstance(what, str) else self._watched
        if what in effective:
            self.joins.popleft()
            joined()
        else:
            effective.add(what)  # type: ignore[arg-type]

    def take(self, what: _Frames | tuple[int, int]) -> None:
        """Something comes from the forwarder."""
        if not isinstance(what, _Frames):
            source, number = what
            self._forwarder.cuts -= 1
            if source in self._watched:
                self._passed[source](number)
            return
        if what.room_id not in self.rooms:
            return
        for wire in what.wires:
            self._model.delivered_at(self.process.seat, broadcast_number(wire))
            if what.excluded:
                self._deliver_but(what.room_id, wire, what.excluded)
            else:
                self._deliver(what.room_id, wire)

    def _take(self, room_id: str, wire: bytes, excluded: frozenset[str] = frozenset()) -> None:
        self._model.room(room_id).published += 1
        newest, turn = self._newest, self._model.loop.turns
        if newest is not None and newest.room_id == room_id and newest.turn == turn and not excluded:
            newest.wires.append(wire)
            return
        frames = _Frames(room_id, turn, wire, excluded)
        self._newest = None if excluded else frames
        self._pushed.append(frames)
        self.outgoing.put(partial(self._push, frames))

    def _push(self, frames: _Frames) -> None:
        if self._newest is frames:
            self._newest = None
        self._pushed.remove(frames)
        self._forwarder.pass_on(frames)

    def _stalled(self, waiter: tuple[asyncio.Future[None], str, bytes, frozenset[str]]) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        if not waiter[0].done():
            waiter[0].set_exception(ShardUnavailableError("the bus stalled"))
