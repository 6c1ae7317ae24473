"""`Ids`: the ids that this shard has in the directory, and when it gives them back.

One per shard. An id is the shard's from its claim on until no session has it, no callback of one runs, and no newcomer wants it.
So two sessions of one id never have callbacks running at the same time, on whatever hosts.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from wspulse.actors.cluster.contract import Gateway
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.values.errors import ShardUnavailableError

__all__ = ["Ids", "Spawn"]

Spawn = Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]
"""Runs something in a task that its owner keeps."""

_MOST_LOOKS = 10
_AGAIN_S = 1.0
"""How often an entry that may be ours is looked up, and the time between."""


class Ids:
    """See the module. `held` are the revisions of the entries that are ours. `leaving` are the ids of sessions that are on
    their way to another host."""

    def __init__(self, shard: Shard, gateway: Gateway, spawn: Spawn) -> None:
        self._shard = shard
        self._gateway = gateway
        self._spawn = spawn
        self.held: dict[str, int] = {}
        self.leaving: Collection[str] = ()
        self.era = 0
        """How often others may have got what was ours."""
        self._doubtful: dict[str, tuple[int, int]] = {}
        """Ids that may be ours, since the directory has not answered, and the keys of their entries then."""
        self._offered: dict[str, int] = {}
        """The revisions of entries that were ours, and that another host may have taken or not."""
        self._wanted: Counter[str] = Counter()
        self._deciding: dict[str, list[asyncio.Future[None]]] = {}
        """More than one of an id where a newcomer wants it, and all that is ours is claimed anew."""
        self._running: dict[tuple[int, int], asyncio.Future[None]] = {}
        """By birth key, sessions that have ended, and the end of whose callbacks other hosts may ask for."""

    def want(self, connection_id: str) -> None:
        """A newcomer has come that is to have it."""
        self._wanted[connection_id] += 1

    def want_no_more(self, connection_id: str) -> None:
        self._wanted[connection_id] -= 1
        if not self._wanted[connection_id]:
            del self._wanted[connection_id]
            self.look_at(connection_id)

    def hold(self, connection_id: str, revision: int) -> None:
        """The entry is ours."""
        self.held[connection_id] = revision
        self._doubtful.pop(connection_id, None)
        self._offered.pop(connection_id, None)

    def doubt(self, connection_id: str, key: tuple[int, int]) -> None:
        """The directory has not answered whether the entry is ours."""
        self._doubtful[connection_id] = key

    def offer(self, connection_id: str) -> int:
        """Another host may take it, unless nobody here needs it: then it is given back. Returns the revision at which it may, 0
        where that is unknown."""
        self.look_at(connection_id)
        revision = self.held.pop(connection_id, 0)
        if revision:
            self._offered[connection_id] = revision
        return revision

    def lose(self, connection_id: str) -> None:
        """Another host has it, or another process of ours: whatever the entry is, it is not to be given back here."""
        for table in (self.held, self._doubtful, self._offered):
            table.pop(connection_id, None)

    def forget_all(self) -> None:
        """Others may have what was ours."""
        self.era += 1
        held, self.held = self.held, {}
        for connection_id, revision in held.items():
            if connection_id not in self._shard.sessions and connection_id not in self._shard.finishing:
                # Of a newcomer, which claims it again.
                self._gateway.release(connection_id, revision)

    # Decisions that the directory makes.

    @contextmanager
    def deciding(self, connection_id: str) -> Iterator[Callable[[], bool]]:
        """While the directory is asked to make an id ours nobody is told that we have no session of it. Gives a call that says
        whether the answer counts: not where the lease was over meanwhile, and others may have the id since."""
        era = self.era
        decided = self._shard.loop.create_future()
        deciding = self._deciding.setdefault(connection_id, [])
        deciding.append(decided)
        try:
            yield lambda: era == self.era
        finally:
            deciding.remove(decided)
            if not deciding:
                del self._deciding[connection_id]
            decided.set_result(None)

    async def decided(self, connection_id: str) -> None:
        """Until it is known whose it is."""
        while (deciding := self._deciding.get(connection_id)) is not None:
            await asyncio.shield(deciding[0])

    # The end of sessions.

    def finished(self, connection_id: str, key: tuple[int, int]) -> None:
        """The last callback of a session has run."""
        began_here = key[0] == self._shard.origin and self._gateway.maker_of(connection_id) == self._gateway.host
        if connection_id not in self.held and not began_here:
            # It has come from another process of our host, which had claimed it.
            self.doubt(connection_id, key)
        self.callbacks_over(connection_id, key)

    def callbacks_over(self, connection_id: str, key: tuple[int, int]) -> None:
        """No callback of the session with that birth key runs any more, here or where it ended."""
        running = self._running.pop(key, None)
        if running is not None:
            running.set_result(None)
        self.look_at(connection_id)

    def running(self, connection_id: str) -> tuple[int, int] | None:
        """The birth key of the id's last session, where a callback of that has yet to run: until then it may be waited for."""
        last = self._shard.finishing.get(connection_id)
        if last is None:
            return None
        if last.key not in self._running:
            self._running[last.key] = self._shard.loop.create_future()
        return last.key

    async def callbacks_ended(self, key: tuple[int, int]) -> None:
        """Until none of that session runs."""
        if (running := self._running.get(key)) is not None:
            await asyncio.shield(running)

    def look_at(self, connection_id: str) -> None:
        """Give back an id that nobody here needs."""
        if self._is_needed(connection_id):
            return
        offered = self._offered.pop(connection_id, None)
        revision = self.held.pop(connection_id, offered)
        key = self._doubtful.pop(connection_id, None)
        if revision is not None:
            self._gateway.release(connection_id, revision)
        elif key is not None:
            self._spawn(self._look_up(connection_id, key))

    async def _look_up(self, connection_id: str, key: tuple[int, int]) -> None:
        for _ in range(_MOST_LOOKS):
            try:
                found = await self._gateway.find(connection_id)
                break
            except ShardUnavailableError:
                await asyncio.sleep(_AGAIN_S)
        else:
            # An entry without a session costs nobody but the directory, until its id is wanted.
            return
        if found is None or (found.host, found.key) != (self._gateway.host, key):
            return
        if connection_id not in self.held and not self._is_needed(connection_id):
            self._gateway.release(connection_id, found.revision)

    def _is_needed(self, connection_id: str) -> bool:
        shard = self._shard
        return (
            connection_id in shard.sessions
            or connection_id in shard.finishing
            or connection_id in self._wanted
            or connection_id in self._deciding
            or connection_id in self.leaving
        )
