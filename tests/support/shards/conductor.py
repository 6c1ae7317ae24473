"""`Conductor`: moves the sessions of one process of `Shards` to another, as a supervisor does it."""

from __future__ import annotations

import asyncio
from struct import pack

from tests.support.shards.shards import Shards
from wspulse.actors.mesh.lifecycle import MovedOut, MoveFailed, MoveOut, TableAdopted, Vacated
from wspulse.actors.mesh.message import Message
from wspulse.actors.mesh.placement import SLOTS
from wspulse.actors.runtime.runtime import ShardRuntime

__all__ = ["Conductor"]

STAYS = 0xFFFF
DEADLINE_S = 20.0

Outcome = MovedOut | MoveFailed | Vacated


class Conductor:
    """See the module."""

    def __init__(self, shards: Shards) -> None:
        self.shards = shards
        self.told: list[Message] = []
        self.plan = 0
        """The number of the last one that was ordered."""
        self._news = asyncio.Event()

    async def reload(self, number: int, handover_timeout_s: float = 10.0) -> MovedOut | MoveFailed:
        """Replace the worker of this name; the former one has ended then."""
        source = self.shards.runtimes[number]
        target = await self.shards.open_seat(number)
        outcome = await self.move(source, dict.fromkeys(range(SLOTS), target.shard.seat), handover_timeout_s)
        if isinstance(outcome, MovedOut):
            self.shards.rename(target)
            await self.shards.close_seat(source.shard.seat)
        return outcome

    def order(
        self,
        source: ShardRuntime,
        targets: dict[int, int],
        handover_timeout_s: float = 10.0,
        *,
        leaves: bool = True,
        drain_spread_s: float = 0.0,
    ) -> None:
        """Have the sessions of those of these slots move that are the source's."""
        self.plan += 1
        movement = source.movement
        assert movement is not None
        movement.moving.tell = self._take
        seat, placement = source.shard.seat, source.placement
        seats = [targets.get(slot, STAYS) if placement.owner_of_slot(slot) == seat else STAYS for slot in range(SLOTS)]
        source.handle(MoveOut(self.plan, pack(f"<{SLOTS}H", *seats), leaves, handover_timeout_s, drain_spread_s))

    async def outcome(self, plan: int | None = None) -> MovedOut | MoveFailed:
        """Of the last plan, or of an earlier one."""
        outcome = await self._of_kind(MovedOut, MoveFailed, plan=plan)
        assert isinstance(outcome, (MovedOut, MoveFailed))
        return outcome

    async def move(
        self, source: ShardRuntime, targets: dict[int, int], handover_timeout_s: float = 10.0, *, leaves: bool = True
    ) -> MovedOut | MoveFailed:
        """Have them move, tell everybody the table, and wait until nothing for them comes to the source."""
        self.order(source, targets, handover_timeout_s, leaves=leaves)
        outcome = await self.outcome()
        if isinstance(outcome, MovedOut):
            await self.flip(source, targets)
        return outcome

    async def flip(self, source: ShardRuntime, targets: dict[int, int]) -> None:
        seat = source.shard.seat
        slots = iter(range(SLOTS))
        self.shards.flip(lambda owner: targets.get(next(slots), owner) if owner == seat else (next(slots), owner)[1])
        assert self.shards.table is not None
        source.handle(TableAdopted(self.shards.table.version, -1))
        await self._of_kind(Vacated)

    def _take(self, message: Message) -> None:
        self.told.append(message)
        self._news.set()

    async def _of_kind(self, *kinds: type[MovedOut | MoveFailed | Vacated], plan: int | None = None) -> Outcome:
        plan = self.plan if plan is None else plan
        async with asyncio.timeout(DEADLINE_S):
            while True:
                for message in self.told:
                    if isinstance(message, kinds) and message.plan == plan:
                        return message
                self._news.clear()
                await self._news.wait()
