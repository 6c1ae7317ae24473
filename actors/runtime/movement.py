"""`Movement`: what a runtime does for sessions that move: orders of the supervisor on their way to `Moving`, and the mesh that
this needs.

One per runtime that has a mailbox. It decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import cast

from wspulse.actors.accept.acceptor import Acceptor
from wspulse.actors.mesh.lifecycle import BusShared, CloseStrays, KeepBus, MoveOut, ShareBus, TableAdopted
from wspulse.actors.mesh.message import ConnectionRecord, Message
from wspulse.actors.mesh.placement import Placement
from wspulse.actors.mesh.placing.former_slots import FormerSlots
from wspulse.actors.moving.departure import CuttingBus
from wspulse.actors.moving.moving import Moving
from wspulse.actors.runtime.extension import Extension
from wspulse.actors.runtime.siblings import Siblings
from wspulse.actors.runtime.task_set import TaskSet
from wspulse.actors.sessions.connections.remote_connection import OtherShards, RemoteConnection
from wspulse.actors.sessions.shard import Shard

__all__ = ["Movement"]

_DECIDED_S = 10.0
"""How long the application has to let in, or refuse, those who have asked a process that ends."""


class Movement:
    """See the module. `settle_events` is given a call that is made when what was told of sessions until then is published."""

    def __init__(
        self,
        shard: Shard,
        placement: Placement,
        siblings: Siblings,
        acceptor: Acceptor,
        others: OtherShards,
        extensions: Extension,
        tasks: TaskSet,
        tell_supervisor: Callable[[Message], None],
        former: FormerSlots,
    ) -> None:
        self.seat = shard.seat
        self.former = former
        self.settle_events: Callable[[Callable[[], None]], None] = _at_once
        self._shard = shard
        self._placement = placement
        self._siblings = siblings
        self._acceptor = acceptor
        self._others = others
        self._tell = tell_supervisor
        self.moving = Moving(shard, self, self._bus, extensions, tell_supervisor, tasks.spawn)

    def hear(self, message: Message) -> None:
        """What the dispatch has for it: see there."""
        match message:
            case MoveOut():
                if self.moving.order(message) and message.leaves:
                    self._acceptor.listen_no_more()
            case CloseStrays():
                self.moving.close_strays(message.spread_s)
            case ShareBus():
                shared = BusShared()
                self._siblings.share_bus(message.push_endpoint, message.subscribe_endpoint, lambda: self._tell(shared))
            case KeepBus():
                self._siblings.keep_bus()
            case TableAdopted():
                self.moving.adopted(message)
            case _:
                pass  # nothing of it depends on who comes and goes

    async def stop(self) -> None:
        """No session is committed any more, and those that were about to go are here."""
        await self.moving.stop()

    def _bus(self) -> CuttingBus:
        return cast("CuttingBus", self._shard.bus)

    # The mesh, as moving sees it.

    @property
    def version(self) -> int:
        return self._placement.version

    def slot_of(self, connection_id: str) -> int:
        return self._placement.slot_of(connection_id)

    def owner_of(self, connection_id: str) -> int:
        return self._placement.final_owner(connection_id)

    def path_of(self, seat: int) -> str:
        return self._siblings.links[seat].path

    def seats_up(self) -> Collection[int]:
        return self._siblings.up_shards.keys()

    def remote(self, record: ConnectionRecord) -> RemoteConnection:
        return RemoteConnection(self._others, record)

    async def events_settled(self) -> None:
        settled = asyncio.Event()
        self.settle_events(settled.set)
        await settled.wait()

    def stays(self) -> None:
        self._acceptor.listen_again()

    async def newcomers_settled(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_DECIDED_S):
                await self._acceptor.decided()


def _at_once(call: Callable[[], None]) -> None:
    call()
