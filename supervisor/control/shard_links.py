"""`ShardLinks`: the supervisor's way to the shards, one link each.

Created by the control plane, used by the operations. Every ask has the deadline of calls that cross shards (5 s); what is
asked of one shard never waits for another. What a stuck shard has not taken is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from zlib import crc32

from wspulse.actors.mesh.actor import ASK_TIMEOUT_S
from wspulse.actors.mesh.link import ShardLink
from wspulse.actors.mesh.message import Message
from wspulse.actors.mesh.placement import Placement
from wspulse.actors.values.errors import ShardUnavailableError

__all__ = ["ShardLinks"]

UNTAKEN_BYTES = 160 * 1024 * 1024
"""Two of the largest requests: what may be under way to a shard that answers nothing."""


class _Flow:
    """How many bytes a shard was asked with, and how many of them it has surely read: it reads in order."""

    __slots__ = ("incarnation", "sent", "taken")

    def __init__(self) -> None:
        self.incarnation = 0
        self.sent = 0
        self.taken = 0


class ShardLinks:
    """See the module. `is_silent(shard)` says that a shard's worker has not been heard for a while."""

    def __init__(self, paths: Sequence[str], is_silent: Callable[[int], bool]) -> None:
        self.placement = Placement(len(paths))
        self._links = [ShardLink(shard, path) for shard, path in enumerate(paths)]
        self._flows = [_Flow() for _ in paths]
        self._is_silent = is_silent

    def open(self) -> None:
        for link in self._links:
            link.open()

    def close(self) -> None:
        for link in self._links:
            link.close()

    def is_up(self, shard: int) -> bool:
        return self._links[shard].incarnation != 0

    def incarnation(self, shard: int) -> int:
        """Who is asked there now; 0 for nobody. What is asked of one incarnation no other answers."""
        return self._links[shard].incarnation

    def broadcaster(self, room_id: str) -> int:
        """The shard that publishes what is broadcast to a room: always the same one while it is well, since one caller's
        broadcasts to one room keep their order."""
        count = len(self._links)
        home = crc32(room_id.encode()) % count
        order = [(home + step) % count for step in range(count)]
        for shard in order:
            if self.is_up(shard) and not self._is_silent(shard):
                return shard
        return next((shard for shard in order if self.is_up(shard)), home)

    async def ask(self, shard: int, message: Message, size: int = 0, *, timeout_s: float = ASK_TIMEOUT_S) -> Any:
        """Ask one shard; `size` bytes are what is large in the message. Raises what the shard raises, and
        ShardUnavailableError."""
        link, flow = self._links[shard], self._flows[shard]
        if link.incarnation != flow.incarnation:
            flow.incarnation, flow.taken = link.incarnation, flow.sent
        if flow.sent - flow.taken + size > UNTAKEN_BYTES:
            raise ShardUnavailableError(f"shard {shard} does not read what it is sent")
        flow.sent += size
        mark = flow.sent
        try:
            result = await link.ask(message, timeout_s=timeout_s)
        except ShardUnavailableError:
            raise
        except Exception:
            flow.taken = max(flow.taken, mark)
            raise
        flow.taken = max(flow.taken, mark)
        return result

    async def ask_all(
        self, message: Message, *, only: Iterable[int] | None = None, timeout_s: float = ASK_TIMEOUT_S
    ) -> dict[int, Any]:
        """What each shard (of `only`) answers, by shard. One that is down is left out; one that is alive but silent is
        there with its ShardUnavailableError."""
        shards = [shard for shard in (range(len(self._links)) if only is None else only) if self.is_up(shard)]
        incarnations = {shard: self._links[shard].incarnation for shard in shards}
        answers = await asyncio.gather(
            *(self.ask(shard, message, timeout_s=timeout_s) for shard in shards), return_exceptions=True
        )
        found: dict[int, Any] = {}
        for shard, answer in zip(shards, answers, strict=True):
            if isinstance(answer, ShardUnavailableError):
                if self._links[shard].incarnation == incarnations[shard]:
                    found[shard] = answer
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found[shard] = answer
        return found
