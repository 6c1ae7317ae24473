"""`BusSwitch`: gives a shard its bus, and changes it while it serves: from its own to that which it shares, and back.

One per runtime, made by its `Siblings`. A shard that is alone delivers what it publishes itself. Before another process comes it
goes over to the bus of several, and when it is alone again it keeps what it publishes to itself: nothing is lost, doubled or out
of order on the way, and who joins a room meanwhile misses nothing. What the bus is at a time is with the shard alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from wspulse.actors.bus.cluster.seat import ClusterSeat
from wspulse.actors.bus.local import LocalBus
from wspulse.actors.bus.receiving.failures import Failures
from wspulse.actors.bus.receiving.subscriptions import TellRooms
from wspulse.actors.bus.sharing.host import BusHost
from wspulse.actors.bus.sharing.keeping import KeepingBus
from wspulse.actors.bus.sharing.opening import OpeningBus
from wspulse.actors.bus.watch import STALLED, BusWatch
from wspulse.actors.bus.zmq import ZmqBus
from wspulse.actors.values.health import Health

__all__ = ["BusSwitch"]

LAST_WORD_S = 1.0
"""How long after the end of another process its last broadcasts are waited for. One that was killed says no last word."""

_MOST_ENDED = 64


class BusSwitch:
    """See the module. `begun` is told of each shared bus that is made, before anything is joined there; `is_alone` says whether
    no other process is up. Where there is a `cluster` the shard has endpoints from the start on, and shares always."""

    def __init__(
        self,
        host: BusHost,
        seat: int,
        endpoints: tuple[str, str] | None,
        *,
        tell_consumed: Callable[[int, int, int], None],
        tell_rooms: TellRooms,
        begun: Callable[[ZmqBus], None],
        is_alone: Callable[[], bool],
        health: Health,
        cluster: ClusterSeat | None = None,
    ) -> None:
        self._host = host
        self._seat = seat
        self._endpoints = endpoints
        self._tell_consumed = tell_consumed
        self._tell_rooms = tell_rooms
        self._begun = begun
        self._is_alone = is_alone
        self._health = health
        self._cluster = cluster
        self._loop = asyncio.get_running_loop()
        self._failures = Failures()
        self._watch: BusWatch | None = None
        self._shared: list[Callable[[], None]] = []
        """The callers that wait until the bus is shared."""
        self._ended: dict[int, float] = {}
        """Incarnation → when we were told that it has ended; of the last few."""
        self._last_words: asyncio.TimerHandle | None = None
        """While those of others are waited for, before the bus is kept."""
        self._awaited: set[int] = set()
        """Those whose last words are waited for."""
        host.bus = self._local()

    @property
    def shared(self) -> ZmqBus | None:
        """The bus of several processes, where there is one: on the way to it, and on the way back, too."""
        bus = self._host.bus
        if isinstance(bus, OpeningBus | KeepingBus):
            return bus.shared
        return bus if isinstance(bus, ZmqBus) else None

    def open(self) -> None:
        """Give the shard its bus."""
        if self._endpoints is not None:
            self._host.bus = self._make(self._endpoints)
            self._begin_watch()

    def close(self) -> None:
        self._wait_no_more()
        self._shared.clear()
        bus = self._host.bus
        if isinstance(bus, OpeningBus):
            self._leave_shared(bus.shared)
            return
        if isinstance(bus, KeepingBus):
            bus.give_up()
        self._end_watch()
        if (shared := self.shared) is not None:
            shared.stop()

    def share(self, push_endpoint: str, subscribe_endpoint: str, shared: Callable[[], None]) -> None:
        """Publish through the bus at these endpoints, which stay the same as long as the server lives. `shared` is called,
        perhaps at once, when that is so: what was published before is delivered, and every room that was there is joined. It
        never is where the bus is kept again before."""
        self._wait_no_more()
        bus = self._host.bus
        self._shared.append(shared)
        if isinstance(bus, OpeningBus):
            return
        if isinstance(bus, KeepingBus):
            bus.give_up()
        elif not isinstance(bus, ZmqBus):
            opening = OpeningBus(self._host, self._make((push_endpoint, subscribe_endpoint)), self._opened)
            self._host.bus = opening
            opening.begin()
            return
        self._tell_shared()

    def keep(self) -> None:
        """Publish to nobody else any more: no other process is there. What those have published that have ended comes first.
        Where the bus does not answer in time it stays as it is, and so it does in a cluster, where there are other hosts."""
        bus = self._host.bus
        if self._cluster is not None:
            return
        if isinstance(bus, OpeningBus):
            self._shared.clear()
            self._leave_shared(bus.shared)
        elif isinstance(bus, ZmqBus) and self._last_words is None:
            now = self._loop.time()
            until = {each: at + LAST_WORD_S for each, at in self._ended.items() if at + LAST_WORD_S > now}
            self._awaited = set(until)
            self._last_words = self._loop.call_later(max(until.values(), default=now) - now, self._keep_now)
            bus.on_last_word = self._last_word_came
            self._last_word_came()

    def process_began(self) -> None:
        """Another process is up."""
        self._wait_no_more()
        if isinstance(bus := self._host.bus, KeepingBus):
            bus.give_up()

    def process_ended(self, incarnation: int) -> None:
        """Another process has ended."""
        self._ended[incarnation] = self._loop.time()
        if len(self._ended) > _MOST_ENDED:
            del self._ended[next(iter(self._ended))]

    # Sharing.

    def _opened(self) -> None:
        bus = self._host.bus
        assert isinstance(bus, OpeningBus)
        bus.over = True
        self._host.bus = bus.shared
        self._begin_watch()
        self._tell_shared()

    def _tell_shared(self) -> None:
        waiting, self._shared = self._shared, []
        for shared in waiting:
            shared()

    # Keeping.

    def _last_word_came(self) -> None:
        bus = self._host.bus
        if self._last_words is not None and isinstance(bus, ZmqBus) and bus.ended.issuperset(self._awaited):
            self._keep_now()

    def _keep_now(self) -> None:
        """Nothing of another process is on its way any more."""
        self._wait_no_more()
        bus = self._host.bus
        if isinstance(bus, ZmqBus) and self._is_alone():
            self._host.bus = keeping = KeepingBus(self._host, bus, self._kept)
            keeping.begin()

    def _kept(self, is_local: bool) -> None:
        bus = self._host.bus
        assert isinstance(bus, KeepingBus)
        if is_local:
            self._leave_shared(bus.shared)
        else:
            self._host.bus = bus.shared

    def _wait_no_more(self) -> None:
        if self._last_words is not None:
            self._last_words.cancel()
            self._last_words = None

    # The two kinds.

    def _local(self) -> LocalBus:
        return LocalBus(self._host.deliver, self._host.deliver_but)

    def _kind(self) -> Callable[..., ZmqBus]:
        if self._cluster is None:
            return ZmqBus
        # A server on one host never loads it.
        from wspulse.actors.bus.cluster.bus import ClusterBus

        return partial(ClusterBus, seat=self._cluster)

    def _make(self, endpoints: tuple[str, str]) -> ZmqBus:
        bus = self._kind()(
            *endpoints,
            shard=self._seat,
            incarnation=self._host.incarnation,
            metrics=self._host.metrics,
            deliver=self._host.deliver,
            deliver_but=self._host.deliver_but,
            tell_consumed=self._tell_consumed,
            tell_rooms=self._tell_rooms,
        )
        self._begun(bus)
        return bus

    def _leave_shared(self, shared: ZmqBus) -> None:
        """Deliver what is published, from here on."""
        bus = self._host.bus
        if isinstance(bus, OpeningBus):
            bus.over = True
        self._end_watch()
        self._ended.clear()
        joining = shared.abandon()
        self._host.bus = self._local()
        for joined in joining:
            try:
                joined()
            except Exception as error:
                self._failures.raised(error, self._loop.time())

    def _begin_watch(self) -> None:
        bus = self._host.bus
        assert isinstance(bus, ZmqBus)
        self._watch = BusWatch(
            bus,
            shard=self._seat,
            incarnation=self._host.incarnation,
            health=self._health,
            metrics=self._host.metrics,
            waits=self._cluster is not None,  # the supervisor says that the gateway is not there yet
        )
        self._watch.begin()

    def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
            self._health.mend(STALLED)
