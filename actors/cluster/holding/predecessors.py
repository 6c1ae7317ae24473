"""`Predecessors`: sessions that have ended on other hosts, and whose last callbacks are waited for here.

One per shard. To the shard each is one of its own whose callbacks have yet to run: a session of that id begins at once, and its
`on_connect` comes behind them. The other host is asked until it says so, or is not alive any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from wspulse.actors.cluster.contract import Gateway
from wspulse.actors.cluster.ids import Ids, Spawn
from wspulse.actors.mesh.placing.yields import AwaitCallbacks
from wspulse.actors.sessions.inbox import Inbox
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.values.errors import WspulseError

__all__ = ["Predecessor", "Predecessors"]

_ROUND_S = 10.0
"""How long the other host waits before it says that they still run."""

_MARGIN_S = 2.0
"""For its answer."""

_AGAIN_S = 0.2
"""Until a host that did not answer is asked again."""


class Predecessor:
    """One of them; `successor` waits for it. Where one of our own had yet to finish, too, it stands for both: so it is where the
    id went away with the host's lease, and has come back. `over(self)` is called when nothing runs any more."""

    __slots__ = ("_awaited", "_over", "key", "successor")

    def __init__(self, key: tuple[int, int], over: Callable[[Predecessor], None]) -> None:
        self.key = key
        self.successor: Inbox | None = None
        self._over = over
        self._awaited = 1

    def comes_behind(self, other: Predecessor | Inbox) -> None:
        self._awaited += 1
        cast("Any", other).successor = self

    def predecessor_finished(self) -> None:
        self._awaited -= 1
        if not self._awaited:
            self._over(self)


class Predecessors:
    """See the module."""

    def __init__(self, shard: Shard, gateway: Gateway, ids: Ids, spawn: Spawn) -> None:
        self._shard = shard
        self._gateway = gateway
        self._ids = ids
        self._spawn = spawn

    def follow(self, connection_id: str, host: str, key: tuple[int, int]) -> None:
        """An id is ours now. The session of this birth key had it on that host."""
        finishing = self._shard.finishing
        predecessor = Predecessor(key, lambda predecessor: self._over(connection_id, predecessor))
        own = finishing.get(connection_id)
        if own is not None:
            predecessor.comes_behind(cast("Predecessor | Inbox", own))
        finishing[connection_id] = predecessor
        self._spawn(self._wait(connection_id, host, predecessor))

    async def _wait(self, connection_id: str, host: str, predecessor: Predecessor) -> None:
        gateway = self._gateway
        question = AwaitCallbacks(connection_id, predecessor.key, _ROUND_S)
        while gateway.is_alive(host):
            try:
                if await gateway.ask(host, connection_id, question, _ROUND_S + _MARGIN_S):
                    break
            except WspulseError:
                await asyncio.sleep(_AGAIN_S)
        predecessor.predecessor_finished()

    def _over(self, connection_id: str, predecessor: Predecessor) -> None:
        finishing = self._shard.finishing
        if finishing.get(connection_id) is predecessor:
            del finishing[connection_id]
        self._ids.callbacks_over(connection_id, predecessor.key)
        if predecessor.successor is not None:
            predecessor.successor.predecessor_finished()
