"""`BusWatch`: notices that the bus stands still, and that it moves again.

One per worker of a server with several, made by its runtime beside the bus, through which it sends itself an echo every second.
While none comes back the worker is not well (`Health`), which balancers see and the log says: the forwarder lives in another
process, and nothing else tells of its silence. It ends nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from wspulse.actors.bus.echoes import ECHO_EVERY_S, Echoes
from wspulse.actors.bus.message import pack_echo, unpack_echo
from wspulse.actors.values.health import Health
from wspulse.actors.values.metrics import Metrics

__all__ = ["STALLED", "BusWatch"]

STALLED = "broadcasts between the workers are stalled"
"""What is amiss, in the answer to the health check."""

_MOST_UNDER_WAY = 64
"""Echoes of a minute: those of a longer stall are not measured."""

_logger = logging.getLogger("wspulse.bus")


class Echoing(Protocol):
    """The bus, as its watch sees it."""

    echoed: Callable[[bytes], None]
    """Called with each echo that comes back."""

    def publish_echo(self, data: bytes) -> None:
        """Give it to the forwarder, if that takes it at once."""


class BusWatch:
    """See the module."""

    def __init__(
        self,
        bus: Echoing,
        *,
        shard: int,
        incarnation: int,
        health: Health,
        metrics: Metrics,
        clock: Callable[[], float] = monotonic,
        waits: bool = False,
    ) -> None:
        """`waits`: who passes echoes on may come as late as it likes, for the first time."""
        self._bus = bus
        self._life = (shard, incarnation)
        self._health = health
        self._metrics = metrics
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._echoes = Echoes(clock())
        self._lags = metrics.histograms.of("wspulse_bus_lag_seconds")
        self._under_way: deque[tuple[int, float]] = deque(maxlen=_MOST_UNDER_WAY)
        """The numbers of echoes, and when they were sent."""
        self._waits = waits
        self._came = 0
        """Messages of the bus, when we looked last."""

    def begin(self) -> None:
        self._bus.echoed = self._returned
        self._look()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = self._loop.call_later(ECHO_EVERY_S, self._look)
        now = self._clock()
        came = self._metrics.bus_messages_in
        if came != self._came or self._waits:
            self._came = came
            self._echoes.heard(now)
        if (for_s := self._echoes.look(now)) is not None:
            self._metrics.bus_stalls += 1
            self._health.fail(STALLED)
            _logger.error(
                "the bus is stalled: broadcasts do not come back, and rooms that are new to this worker cannot be joined; "
                "check that the supervisor, and with several hosts its gateway, is running",
                extra={"shard": self._life[0], "silent_s": round(for_s, 1)},
            )
        number = self._echoes.sent(now)
        self._under_way.append((number, now))
        self._bus.publish_echo(pack_echo(*self._life, number))

    def _returned(self, data: bytes) -> None:
        number, now = unpack_echo(data), self._clock()
        self._waits = False
        while self._under_way and self._under_way[0][0] <= number:
            sent_number, sent_at = self._under_way.popleft()
            if sent_number == number:  # else it did not come
                self._lags.observe(now - sent_at)
        for_s = self._echoes.returned(number, now)
        if for_s is not None:
            self._health.mend(STALLED)
            _logger.warning("the bus works again", extra={"shard": self._life[0], "stood_still_s": round(for_s, 1)})
