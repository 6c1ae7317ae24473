"""`KeepingBus`: the bus of a shard that is alone again, until all that the shared bus still has for it has come.

Made by the switch, which puts it in the place of the shared bus. It publishes a fence there and gathers what is published from
then on; when the fence comes back, what was gathered is delivered behind it, and the switch goes over to a local bus. Where it
does not come back in time, or too much is gathered, it publishes what it has on the shared bus, which stays.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from wspulse.actors.bus.receiving.failures import Failures
from wspulse.actors.bus.sharing.host import BusHost
from wspulse.actors.bus.zmq import ZmqBus

__all__ = ["KeepingBus"]

_PATIENCE_S = 2.0
"""For the fence, whose way takes a fraction of a millisecond. All that is published waits for it."""

_MOST_GATHERED_BYTES = 16 * 1024 * 1024

_NOBODY: frozenset[str] = frozenset()

_logger = logging.getLogger("wspulse.bus")


class KeepingBus:
    """See the module. `kept(is_local)` is called once, when it is `over`; whatever still comes here then goes where the shard's
    bus is."""

    acknowledges = False

    def __init__(self, host: BusHost, shared: ZmqBus, kept: Callable[[bool], None]) -> None:
        self.shared = shared
        self.over = False
        self.leave_delay_s = shared.leave_delay_s
        self._host = host
        self._kept = kept
        self._gathered: deque[tuple[str, bytes, frozenset[str]]] = deque()
        self._gathered_bytes = 0
        self._failures = Failures()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """It is in the shared bus's place from here on."""
        self._timer = self._loop.call_later(_PATIENCE_S, self._unanswered)
        self.shared.fence(self._fenced)
        # Waiting callers have published nothing yet: they come after the fence, and before those who publish now.
        for room_id, wire, excluded in self.shared.hand_over(self):
            self._gathered.append((room_id, wire, excluded))
            self._gathered_bytes += len(wire)
        if self._gathered_bytes > _MOST_GATHERED_BYTES:
            self.give_up()

    def give_up(self) -> None:
        """Publish on the shared bus what was gathered, and stay there."""
        if not self._end():
            return
        self.shared.take_back(self._gathered)
        self._gathered.clear()
        self._kept(False)

    def publish(self, room_id: str, wire: bytes) -> bool:
        if self.over:
            return self._host.bus.publish(room_id, wire)
        self._gather(room_id, wire, _NOBODY)
        return True

    def publish_but(self, room_id: str, wire: bytes, excluded: frozenset[str]) -> bool:
        if self.over:
            return self._host.bus.publish_but(room_id, wire, excluded)
        self._gather(room_id, wire, excluded)
        return True

    async def publish_when_free(self, room_id: str, wire: bytes, excluded: frozenset[str] = _NOBODY) -> None:
        if self.over:
            await self._host.bus.publish_when_free(room_id, wire, excluded)
        else:
            self._gather(room_id, wire, excluded)

    def join(self, room_id: str, joined: Callable[[], None]) -> None:
        self.shared.join(room_id, joined)

    def leave(self, room_id: str) -> None:
        self.shared.leave(room_id)

    def _gather(self, room_id: str, wire: bytes, excluded: frozenset[str]) -> None:
        self._gathered.append((room_id, wire, excluded))
        self._gathered_bytes += len(wire)
        if self._gathered_bytes > _MOST_GATHERED_BYTES:
            self.give_up()

    def _unanswered(self) -> None:
        self.give_up()
        _logger.warning("the bus did not answer; the only worker still sends its broadcasts through it")

    def _fenced(self) -> None:
        """Inside the shared bus's drain: all that came before is delivered, and nothing comes behind."""
        if self.over:
            return
        deliver, deliver_but = self._host.deliver, self._host.deliver_but
        while self._gathered:
            room_id, wire, excluded = self._gathered.popleft()
            try:
                deliver_but(room_id, wire, excluded) if excluded else deliver(room_id, wire)
            except Exception as error:
                self._failures.raised(error, self._loop.time())
        if self._end():
            self._kept(True)

    def _end(self) -> bool:
        """Whether it was not over yet."""
        was_over, self.over = self.over, True
        if self._timer is not None:
            self._timer.cancel()
        return not was_over
