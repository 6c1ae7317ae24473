"""`Places`: who has a connection in this process, and whether one more may have one: `max_connections` and the like.

One for a shard with such a limit, made by its runtime; without a limit there is none. The acceptor has a newcomer admitted before
`connect` is asked. Whoever holds a place passes it on to whatever the newcomer becomes here; a shard to which it is handed over
gives it one of its own. It closes nobody.
"""

from __future__ import annotations

from typing import Any, Protocol

from wspulse.actors.limits.address_key import address_key
from wspulse.actors.limits.counts import Counts
from wspulse.actors.values.metrics import Metrics
from wspulse.actors.wire.answer import HTTPAnswer, rejection

__all__ = ["Full", "Gate", "Places"]

Address = tuple[str, int] | None


class Gate(Protocol):
    """Whoever is asked whether somebody may come in."""

    def admit(self, holder: Any, address: Address) -> HTTPAnswer | None:
        """None: it may. Else how it is refused."""


class Places:
    """See the module. A limit of 0 is none. A `holder` is any object that is hashed by what it is."""

    def __init__(
        self, counts: Counts, metrics: Metrics, *, max_connections: int, max_connections_per_address: int
    ) -> None:
        self._counts = counts
        self._metrics = metrics
        self._max = max_connections
        self._max_per_address = max_connections_per_address
        self._keys: dict[Any, int] = {}

    @property
    def held(self) -> int:
        """How many are, in this process."""
        return len(self._keys)

    def admit(self, holder: Any, address: Address) -> HTTPAnswer | None:
        """Give somebody a place; where there is none, say how it is refused."""
        self.take(holder, address)
        key = self._keys[holder]
        # Behind its own count, so that of two who come at once in two processes not both take the last place.
        if self._max_per_address and key and self._counts.of(key) > self._max_per_address:
            self._metrics.limited_connections_per_address += 1
            answer = rejection(429, "too many connections from this address")
        elif self._max and self._counts.total() > self._max:
            self._metrics.limited_connections += 1
            answer = rejection(503, "too many connections")
        else:
            return None
        self.leave(holder)
        return answer

    def take(self, holder: Any, address: Address) -> None:
        """Give a place to somebody who has been let in: a session that comes from another process."""
        key = address_key(address) if self._max_per_address else 0
        self._keys[holder] = key
        self._counts.add(key)

    def pass_on(self, holder: Any, successor: Any) -> None:
        """The place, if there is one, is held by another object from now on."""
        key = self._keys.pop(holder, None)
        if key is not None:
            self._keys[successor] = key

    def leave(self, holder: Any) -> None:
        """It holds none any more, if it did."""
        key = self._keys.pop(holder, None)
        if key is not None:
            self._counts.remove(key)

    def close(self) -> None:
        """The shard has ended: let go of the memory. Nobody has a place any more."""
        self._keys.clear()
        self._counts.close()


class Full:
    """The gate of a server that takes nobody in, for want of memory."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def admit(self, _holder: Any, _address: Address) -> HTTPAnswer | None:
        self._metrics.limited_memory += 1
        return rejection(503, "the server is short of memory")
