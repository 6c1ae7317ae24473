"""`Leaving`: one session that another host's newcomer is to have, from its coming to rest until it is there, or here again.

Made by `Yields` for each. The session comes to rest as one that moves; then it is in no table, and what it is travels. The
directory decides: the taker has it when it has swapped the entry. Where the taker does not say what has become of it, the entry
is swapped back, and the session is here again if that could be done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from wspulse.actors.cluster.between import Between
from wspulse.actors.cluster.contract import Claimed, Gateway, Seen, Taken
from wspulse.actors.cluster.ids import Ids
from wspulse.actors.mesh.actor import ASK_TIMEOUT_S
from wspulse.actors.mesh.message import ConnectionRecord
from wspulse.actors.mesh.placing.yields import KeptFrames, Yielded
from wspulse.actors.moving.landing import Lander, land
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.sessions.connections.remote_connection import RemoteConnection
from wspulse.actors.sessions.connections.snapshot import snapshot
from wspulse.actors.sessions.inbox import Inbox
from wspulse.actors.sessions.room import Room
from wspulse.actors.sessions.rooms.membership import rooms_of
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.transfer.departed import ELSEWHERE, depart
from wspulse.actors.sessions.transfer.frozen import freeze, sent_meanwhile, thaw
from wspulse.actors.sessions.transfer.halting import Halting
from wspulse.actors.sessions.transfer.keeper import Keeper
from wspulse.actors.sessions.transfer.places import call_first, ends_with, forget, go_on, let_go, take_out
from wspulse.actors.sessions.transfer.recording import record_of
from wspulse.actors.values.errors import ConnectionNotFoundError, ShardUnavailableError, WspulseError

__all__ = ["Gone", "Leaving", "Premises"]

_LOOK_S = 0.005
"""Between two looks at a session whose handler runs."""

_SILENCE_S = 2.0
"""How long a taker may take to say what has become of a session, until the directory is asked."""

_AGAIN_S = 0.5
"""Until that is asked again."""

_MOST_HOPS = 4
"""How often a session is followed that goes from host to host faster than it is told what was sent to it."""

_QUICK_LOOKS = 4
"""So often it is looked in the next turn of the loop: most sessions have but a callback to run."""

_encode = msgspec.msgpack.Encoder().encode

_logger = logging.getLogger("wspulse.cluster")


class Gone(Protocol):
    """Who is told of sessions that are to go, and that have."""

    def halted(self, connection: Connection) -> None: ...

    def returned(self, connection: Connection) -> None: ...

    def departed(self, connection: Connection) -> None: ...


@dataclass(slots=True)
class Premises:
    """What all that leave have in common. `remote` makes the connection of a session that lives on another host."""

    shard: Shard
    gateway: Gateway
    ids: Ids
    bus: Seen
    told: Gone
    remote: Callable[[ConnectionRecord], RemoteConnection]
    halting: Halting
    """That the shard has where it has none."""
    waiting: Between
    """Who waits until it is known where a session is."""


class Leaving:
    """See the module. `number` is the shard's for this yield; `over(self)` is called when it has left, or is here again."""

    def __init__(
        self, premises: Premises, session: Session, taker: str, number: int, over: Callable[[Leaving], None]
    ) -> None:
        self._at = premises
        self._over = over
        self.session = session
        self.taker = taker
        self.number = number
        self.inbox: Inbox = session.inbox
        self.is_over: asyncio.Future[None] = premises.shard.loop.create_future()
        self.is_out = False
        """Whether it is in no table any more."""
        self.is_doubtful = False
        """Whether another host may have the id, whatever the taker says."""
        self._rooms: list[Room[Session]] = []
        self._seen: dict[str, int] = {}
        self._keeper = Keeper(session.id)
        self._revision = 0
        """Of our entry in the directory."""
        self._frozen_at = 0.0
        self._has_said_goodbye = False
        self._told: asyncio.Future[bool] = premises.shard.loop.create_future()
        """What the taker says: whether it has the session."""

    def hear(self, *, is_taken: bool) -> None:
        """The taker says whether it has the session."""
        if not self._told.done():
            self._told.set_result(is_taken)

    def stays(self) -> None:
        """It has ended, or goes on here, and was in the tables all the while."""
        if self._at.shard.sessions.get(self.session.id) is self.session:
            self._says_hello()
            self._at.told.returned(self.session.connection)

    async def comes_to_rest(self) -> bool:
        """Whether it has; else it has ended."""
        shard, session = self._at.shard, self.session
        looks = 0
        while shard.sessions.get(session.id) is session:
            if shard.halting is None:
                shard.halting = self._at.halting
            halting = shard.halting
            if isinstance(halting, Halting):
                if not halting.holds(self.inbox):
                    halting.halt(session)
                if halting.is_at_rest(session) and not self._says_goodbye():
                    return True
            looks += 1
            await asyncio.sleep(0 if looks < _QUICK_LOOKS else _LOOK_S)
        return False

    async def is_ours(self) -> bool:
        """Whether the entry is known; else the session has ended. Of one that has come from another process of our host it is
        looked up, and then it has yet to be seen whether it is at rest still. Raises ShardUnavailableError."""
        connection_id = self.session.id
        ids, gateway = self._at.ids, self._at.gateway
        while connection_id not in ids.held:
            era = ids.era
            try:
                result = await gateway.claim(connection_id, self.session.key)
            except ShardUnavailableError:
                ids.doubt(connection_id, self.session.key)
                raise
            if isinstance(result, Taken) and result.host != gateway.host:
                raise ShardUnavailableError("the session is another host's")
            if era != ids.era:
                # Others may have it since.
                continue
            ids.hold(connection_id, result.revision)
            if not await self.comes_to_rest():
                return False
        self._revision = ids.held[connection_id]
        return True

    def _says_goodbye(self) -> bool:
        """Have the application told, as its last callback here; then the session has yet to come to rest again."""
        if self._at.shard.handlers.on_transfer_out is None or self._has_said_goodbye:
            return False
        self._has_said_goodbye = True
        call_first(self.inbox, "on_transfer_out")
        go_on(self.inbox)
        return True

    def _says_hello(self) -> None:
        if self._has_said_goodbye and self._at.shard.handlers.on_transfer_in is not None:
            call_first(self.inbox, "on_transfer_in")

    def freeze(self) -> None:
        """In one step: what its rooms have got until now it has, and what they get from now on is kept."""
        shard, session = self._at.shard, self.session
        self._rooms = rooms = [shard.room_table.enter(room_id) for room_id in rooms_of(session)]
        for room in rooms:
            room.flush()
        session.flush()
        let_go(session)
        self._keeper.enter(rooms)
        take_out(shard, session)
        self._at.waiting.add(session.id)
        freeze(session)
        self.is_out = True
        self._frozen_at = shard.clock()
        self._seen = {room.id: self._at.bus.seen(room.id) for room in rooms}

    def record(self) -> Yielded:
        """What the taker is told. Raises what cannot be encoded."""
        session = self.session
        record, unsaid = record_of(session, None)
        if unsaid:
            fields = {"connection_id": session.id, "keys": unsaid[:20]}
            _logger.warning("parts of a session's state are lost: msgpack cannot encode them", extra=fields)
        return Yielded("record", self._revision, self.number, _encode(record), self._seen)

    async def resolve(self) -> None:
        """Until it is another host's, or here again."""
        told = self._told
        try:
            async with asyncio.timeout(_SILENCE_S):
                is_taken = await asyncio.shield(told)
        except TimeoutError:
            is_taken = not await self._swap_back()
        else:
            if not is_taken and (self.is_doubtful or not self._at.gateway.is_held()):
                is_taken = not await self._swap_back()
        if is_taken:
            await self._leave()
        else:
            self._take_back()

    async def _swap_back(self) -> bool:
        """Whether the directory says that it is ours. It is asked until it answers."""
        session, gateway, ids, told = self.session, self._at.gateway, self._at.ids, self._told
        while not (told.done() and told.result()):
            era = ids.era
            try:
                result = await gateway.move(session.id, session.key, self._revision)
            except ShardUnavailableError:
                await asyncio.sleep(_AGAIN_S)
                continue
            if era != ids.era:
                # Whatever it was, others may have it since.
                continue
            if isinstance(result, Claimed) or (
                # Where the answer to the first question was lost.
                isinstance(result, Taken) and (result.host, result.key) == (gateway.host, session.key)
            ):
                ids.hold(session.id, result.revision)
                return True
            if result is not None:
                self.taker = result.host
                return False
            if gateway.is_held():
                # It was another's, and has ended there.
                return False
            await asyncio.sleep(_AGAIN_S)
        return False

    def _take_back(self) -> None:
        """As if nothing had been."""
        session, shard = self.session, self._at.shard
        # Its window stood meanwhile.
        session.window_ends += shard.clock() - self._frozen_at
        land(
            shard,
            Lander(session, None, None, self._keeper, self._rooms, self._landed, self._at.waiting),
        )

    def _landed(self, session: Session) -> None:
        self._says_hello()
        self._at.told.returned(session.connection)
        self._over(self)
        ends_with(self._at.shard, session)

    async def _pass_on(self, wires: list[bytes]) -> bool:
        """Whether the session was there, or on the host where it has gone since."""
        session, gateway = self.session, self._at.gateway
        message = KeptFrames(session.id, session.key, wires)
        for _ in range(_MOST_HOPS):
            try:
                await gateway.ask(self.taker, session.id, message, ASK_TIMEOUT_S)
                return True
            except ConnectionNotFoundError:
                pass
            except WspulseError:
                return False
            try:
                found = await gateway.find(session.id)
            except ShardUnavailableError:
                return False
            if found is None or found.host in (self.taker, gateway.host):
                return False
            self.taker = found.host
        return False

    async def _leave(self) -> None:
        """It is another host's. What was sent to it here goes there ahead of all that waits for it."""
        session, shard = self.session, self._at.shard
        while (wires := sent_meanwhile(session)) and await self._pass_on(wires):
            pass
        self._keeper.leave()
        for room in self._rooms:
            shard.room_table.let_go(room)
        thaw(session)
        self._at.told.departed(session.connection)
        inbox = self.inbox
        depart(session, self._at.remote(snapshot(session, shard.index)), ELSEWHERE)
        forget(shard, inbox)
        self._over(self)
        self._at.waiting.remove(session.id)
