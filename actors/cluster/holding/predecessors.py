"""`Predecessors`: sessions that have ended on other hosts, and whose last callbacks are waited for here.

One per shard. To the shard each is one of its own whose callbacks have yet to run: a session of that id begins at once, and its
`on_connect` comes behind them. The other host is asked until it says so, or is not alive any more.
"""

from __future__ import annotations

import asyncio

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
    """One of them; `successor` waits for it."""

    __slots__ = ("key", "successor")

    def __init__(self, key: tuple[int, int]) -> None:
        self.key = key
        self.successor: Inbox | None = None


class Predecessors:
    """See the module."""

    def __init__(self, shard: Shard, gateway: Gateway, ids: Ids, spawn: Spawn) -> None:
        self._shard = shard
        self._gateway = gateway
        self._ids = ids
        self._spawn = spawn

    def follow(self, connection_id: str, host: str, key: tuple[int, int]) -> None:
        """An id is ours now. The session of this birth key had it on that host."""
        predecessor = self._shard.finishing[connection_id] = Predecessor(key)
        self._spawn(self._wait(connection_id, host, predecessor))

    async def _wait(self, connection_id: str, host: str, predecessor: Predecessor) -> None:
        gateway, shard = self._gateway, self._shard
        question = AwaitCallbacks(connection_id, predecessor.key, _ROUND_S)
        while gateway.is_alive(host):
            try:
                if await gateway.ask(host, connection_id, question, _ROUND_S + _MARGIN_S):
                    break
            except WspulseError:
                await asyncio.sleep(_AGAIN_S)
        if shard.finishing.get(connection_id) is predecessor:
            del shard.finishing[connection_id]
        self._ids.callbacks_over(connection_id, predecessor.key)
        if predecessor.successor is not None:
            predecessor.successor.predecessor_finished()
