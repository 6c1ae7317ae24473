"""`Held`: marks and cuts that wait until all has been forwarded that was acknowledged before they came. No I/O, no clock.

The exchange owns it. They go on in the order in which they came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from wspulse.actors.bus.message import CUT_PREFIX
from wspulse.supervisor.cluster.exchange.wanted import Wanted

__all__ = ["MOST_HELD_S", "Held"]

MOST_HELD_S = 10.0
"""Then a mark goes on, so that its publisher does not wait for ever, and a cut is dropped: who moves sessions by it gives up
and begins again."""

_CUT = CUT_PREFIX[0]


class _Waiting:
    __slots__ = ("data", "needs", "since")

    def __init__(self, data: bytes, needs: list[tuple[int, int]], since: float) -> None:
        self.data = data
        self.needs = needs
        self.since = since


class Held:
    """See the module."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._waiting: deque[_Waiting] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def hold(self, data: bytes, now: float) -> None:
        self._waiting.append(_Waiting(data, list(self._wanted.lagging.items()), now))

    def going_on(self, now: float) -> Iterator[bytes]:
        """Take out what need not wait any more; asked when a bucket has come further, and now and then."""
        waiting, has_come = self._waiting, self._wanted.has_come
        while waiting:
            first = waiting[0]
            needs = first.needs
            while needs and has_come(*needs[-1]):
                needs.pop()
            is_late = now - first.since > MOST_HELD_S
            if needs and not is_late:
                return
            waiting.popleft()
            if not needs or first.data[0] != _CUT:
                yield first.data
