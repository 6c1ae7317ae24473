"""`Cluster`: what one shard does where there are several hosts, put together.

Made by whoever has joined the host to the others, for a shard that has accepted nobody yet. It gives the admission its `Claims`
and `Owners` its way to other hosts; the shard's actor gives it what other hosts ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from wspulse.actors.cluster.contract import Gateway, Seen, Taken
from wspulse.actors.cluster.elsewhere import Elsewhere
from wspulse.actors.cluster.far.shards import Counterparts, FarShards
from wspulse.actors.cluster.holding.messages import HeldMessages
from wspulse.actors.cluster.holding.predecessors import Predecessors
from wspulse.actors.cluster.ids import Ids, Spawn
from wspulse.actors.cluster.landing import Arrived, Landings
from wspulse.actors.cluster.leaving import Gone
from wspulse.actors.cluster.newcomers import Newcomers
from wspulse.actors.cluster.yielding import Yields
from wspulse.actors.mesh.message import ConnectionRecord, ListConnections
from wspulse.actors.mesh.placing.owners import Owners
from wspulse.actors.mesh.placing.yields import (
    AwaitCallbacks,
    FarTell,
    JoinRoomWithin,
    KeptFrames,
    YieldMessage,
    YieldOver,
    YieldSession,
)
from wspulse.actors.sessions.connections.remote_connection import RemoteConnection
from wspulse.actors.sessions.inbox import Inbox
from wspulse.actors.sessions.rooms.membership import join_room
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.state import SessionEvent, SessionState
from wspulse.actors.values.close_code import CloseReason
from wspulse.actors.values.errors import (
    BadRequestError,
    DuplicateConnectionIDError,
    SendBufferFullError,
    ShardUnavailableError,
)

__all__ = ["Cluster", "Told"]

_AT_ONCE = 64
"""How many ids are claimed anew at a time."""

_AGAIN_S = 0.5
"""Until the directory is asked again."""

_LAST_YIELDS_S = 3.0
"""Longer than a yield waits for its taker, and the directory's answer."""


class Told(Arrived, Gone, Counterparts, Protocol):
    """Who is told of sessions that come and go, and of the shards of other hosts."""


class Cluster:
    """See the module. `bus` is the room bus between hosts, and `remote` makes the connection of a session that lives
    elsewhere."""

    def __init__(
        self,
        shard: Shard,
        owners: Owners,
        gateway: Gateway,
        bus: Seen,
        told: Told,
        remote: Callable[[ConnectionRecord], RemoteConnection],
        former_owner: Callable[[str], int | None],
        spawn: Spawn,
    ) -> None:
        self._shard = shard
        self._gateway = gateway
        self._ids = ids = Ids(shard, gateway, spawn)
        self._messages = HeldMessages(shard, self._may_decide)
        self._yields = Yields(shard, gateway, ids, bus, told, remote, former_owner, spawn)
        self._spawn = spawn
        self._newcomers = Newcomers(
            shard,
            gateway,
            ids,
            self._yields,
            Landings(shard, gateway, ids, bus, self._yields.between, told, spawn),
            Predecessors(shard, gateway, ids, spawn),
            spawn,
        )
        self._elsewhere = Elsewhere(gateway)
        self.host = gateway.host
        """Our own host's name."""
        self.far = FarShards(shard, gateway, told, spawn)
        shard.admission.claims = self._newcomers
        shard.id_finished, shard.id_left = ids.finished, ids.lose
        owners.elsewhere = self._elsewhere

    async def list_sessions(self, message: ListConnections) -> list[ConnectionRecord]:
        """The sessions of all other hosts, each once; of a host that does not respond none."""
        return await self._elsewhere.list_sessions(message)

    async def stop(self) -> None:
        """The shard ends: wait a moment until sessions that are on their way have left, or are here again."""
        await self._yields.stop(_LAST_YIELDS_S)

    def receive(self, message: YieldMessage) -> Any:
        """Take a message of another host's shard. Returns the result, or a future of it; raises a WspulseError."""
        match message:
            case YieldSession():
                return self._spawn(self._yields.answer(message))
            case YieldOver():
                self._yields.hear(message)
            case AwaitCallbacks():
                return self._spawn(self._yields.wait_for_callbacks(message))
            case FarTell():
                return self.far.receive(message)
            case KeptFrames():
                self._deliver(self._shard.find(message.connection_id, message.key), message.wires)
            case JoinRoomWithin():
                session = self._shard.find(message.connection_id, message.key)
                try:
                    return join_room(session, message.room_id, message.timeout_s)
                except ValueError as error:
                    raise BadRequestError(str(error).removeprefix("wspulse: ")) from None
        return None

    def _deliver(self, session: Session, wires: list[bytes]) -> None:
        for wire in wires:
            try:
                session.send(wire)
            except SendBufferFullError:
                # Whoever sent it was told that it is queued.
                session.buffer_broadcast([wire])

    # The host's lease.

    def _may_decide(self) -> bool:
        """Whether our ids are known to be ours."""
        return self._gateway.is_held() and not self._newcomers.is_shut

    async def claim_anew(self) -> None:
        """The lease was over, and is held again: others may have our ids. Sessions whose ids are another's end as duplicates,
        and nothing that their clients have sent since is handled; nor is anybody let in before that is known of all."""
        newcomers, shard, ids = self._newcomers, self._shard, self._ids
        newcomers.is_shut = True
        try:
            ids.forget_all()
            self._yields.doubt()
            turn = asyncio.Semaphore(_AT_ONCE)
            lost: set[str] = set()
            # Of sessions that have ended, too: what those had taken is to be handled.
            while unclaimed := {*shard.sessions, *shard.finishing} - ids.held.keys() - lost:
                await asyncio.gather(*(self._claim(connection_id, turn, lost) for connection_id in sorted(unclaimed)))
        finally:
            newcomers.is_shut = False
            self._messages.go_on()

    async def _claim(self, connection_id: str, turn: asyncio.Semaphore, lost: set[str]) -> None:
        ids, gateway, shard = self._ids, self._gateway, self._shard
        async with turn:
            while (ours := shard.sessions.get(connection_id) or shard.finishing.get(connection_id)) is not None:
                try:
                    with ids.deciding(connection_id):
                        result = await gateway.claim(connection_id, ours.key)
                        is_lost = isinstance(result, Taken) and result.host != gateway.host
                        if not is_lost:
                            ids.hold(connection_id, result.revision)
                except ShardUnavailableError:
                    await asyncio.sleep(_AGAIN_S)
                    continue
                if is_lost:
                    lost.add(connection_id)
                    ids.lose(connection_id)
                    self._end(connection_id)
                ids.look_at(connection_id)
                return

    def _end(self, connection_id: str) -> None:
        """It is another host's."""
        session, finishing = self._shard.sessions.get(connection_id), self._shard.finishing.get(connection_id)
        if isinstance(finishing, Inbox):
            self._messages.drop(finishing)
        if session is not None:
            self._messages.drop(session.inbox)
            close = CloseReason.DUPLICATE if session.state is SessionState.CONNECTED else None
            session.apply(SessionEvent.DUPLICATE, error=DuplicateConnectionIDError(connection_id), close=close)
