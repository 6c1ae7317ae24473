"""`Landings`: sessions that come here from other hosts, for newcomers that are their clients.

One per shard. All that may fail is done before the directory is asked for the id: the record is read, its rooms are joined, and
what they got since the session came to rest is fetched. When the entry is ours the session is here in that very step, as one that
waits for its client. Until then it is the other host's, which is told what has become of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import Protocol

import msgspec

from wspulse.actors.cluster.between import Between
from wspulse.actors.cluster.contract import Claimed, Found, Gateway, Missed, Seen, Taken
from wspulse.actors.cluster.ids import Ids, Spawn
from wspulse.actors.mesh.actor import ASK_TIMEOUT_S
from wspulse.actors.mesh.placing.yields import Yielded, YieldOver, YieldSession
from wspulse.actors.moving.arrival import codec_name
from wspulse.actors.moving.landing import Lander, land
from wspulse.actors.moving.waiting import Waiting
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.sessions.room import Room
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.transfer.keeper import Keeper
from wspulse.actors.sessions.transfer.places import call_first, ends_with
from wspulse.actors.sessions.transfer.record import FORMAT, SessionRecord
from wspulse.actors.sessions.transfer.recording import session_of
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.values.errors import ShardUnavailableError, WspulseError
from wspulse.actors.values.log_limit import LogLimit
from wspulse.actors.values.text.exact import SUBPROTOCOL

__all__ = ["Arrived", "Landings"]

_AGAIN_S = 0.2
"""Until the directory is asked again what it has decided."""

_decode = msgspec.msgpack.Decoder(SessionRecord).decode

_logger = logging.getLogger("wspulse.cluster")
_log = LogLimit()


class Arrived(Protocol):
    """Who is told of sessions that come."""

    def arrived(self, connection: Connection) -> None: ...


class Landings:
    """See the module."""

    def __init__(
        self, shard: Shard, gateway: Gateway, ids: Ids, bus: Seen, between: Between, told: Arrived, spawn: Spawn
    ) -> None:
        self._shard = shard
        self._gateway = gateway
        self._ids = ids
        self._bus = bus
        self._between = between
        self._told = told
        self._spawn = spawn

    async def ask(
        self,
        host: str,
        connection_id: str,
        upgrade: Upgrade,
        timeout_s: float,
        *,
        only_own: bool,
        is_half_closed: bool,
    ) -> Yielded:
        """Ask the host that has an id to yield it to a newcomer. Raises WspulseError."""
        message = YieldSession(
            connection_id,
            self._gateway.host,
            timeout_s,
            FORMAT,
            codec_name(self._shard),
            upgrade.claim,
            upgrade.subprotocol == SUBPROTOCOL,
            only_own,
            is_half_closed,
        )
        result = await self._gateway.ask(host, connection_id, message, timeout_s)
        try:
            return msgspec.convert(result, Yielded)
        except msgspec.ValidationError:
            raise ShardUnavailableError("the other host's answer is of another version") from None

    async def land(
        self, found: Taken | Found, connection_id: str, answer: Yielded, is_wanted: Callable[[], bool], timeout_s: float
    ) -> None:
        """Have a session that another host has yielded go on here, unless it is not wanted any more. Raises
        ShardUnavailableError."""
        is_taken: bool | None = False
        landing: _Landing | None = None
        try:
            landing = self._begin(answer)
            async with asyncio.timeout(timeout_s):
                await landing.prepare(answer.seen)
            if is_wanted() and self._gateway.is_held() and not self._shard.closing:
                # From here on it may be ours, though nobody finds it.
                self._between.add(connection_id)
                with self._ids.deciding(connection_id):
                    is_taken = None
                    is_taken = await self._commit(connection_id, landing, answer.revision or found.revision)
                    if is_taken:
                        landing.land(self._landed, self._between)
        except TimeoutError:
            raise ShardUnavailableError("a session did not come from another host in time") from None
        finally:
            if landing is not None and not is_taken:
                landing.give_up()
                self._between.remove(connection_id)
            if is_taken is not None:
                self._spawn(self._tell(found.host, YieldOver(connection_id, answer.number, is_taken)))
            self._ids.look_at(connection_id)

    def _begin(self, answer: Yielded) -> _Landing:
        try:
            return _Landing(self._shard, self._gateway, self._bus, _decode(answer.record))
        except Exception as error:
            # Of another version, or of an application whose state only it can read.
            if (not_logged := _log.admit(monotonic())) is not None:
                _logger.error("a session cannot come here", exc_info=error, extra={"not_logged": not_logged})
            raise ShardUnavailableError("a session of another host cannot be read") from None

    async def _commit(self, connection_id: str, landing: _Landing, revision: int) -> bool | None:
        """Whether the directory has made it ours; None where it did not say. It is asked until it answers: nobody else may have
        the session."""
        key, gateway, ids = landing.session.key, self._gateway, self._ids
        is_sure = True
        while True:
            era = ids.era
            try:
                result = await gateway.move(connection_id, key, revision)
            except ShardUnavailableError:
                is_sure = False
                await asyncio.sleep(_AGAIN_S)
                continue
            if era != ids.era:
                # Whatever it was, others may have it since.
                is_sure = False
                continue
            if isinstance(result, Claimed) or (
                isinstance(result, Taken) and (result.host, result.key) == (gateway.host, key)
            ):
                # The second, where the answer to the first was lost.
                ids.hold(connection_id, result.revision)
                return True
            return False if is_sure else None

    def _landed(self, session: Session) -> None:
        shard = self._shard
        if shard.handlers.on_transfer_in is not None:
            call_first(session.inbox, "on_transfer_in")
        shard.publish_event("transfer", session)
        self._told.arrived(session.connection)
        ends_with(shard, session)

    async def _tell(self, host: str, message: YieldOver) -> None:
        try:
            await self._gateway.ask(host, message.connection_id, message, ASK_TIMEOUT_S)
        except WspulseError:
            pass  # it finds out from the directory


class _Landing:
    """A session that is about to be here. What its rooms get is kept from the moment on at which they are as far here as they
    were where it came from."""

    def __init__(self, shard: Shard, gateway: Gateway, bus: Seen, record: SessionRecord) -> None:
        self._shard = shard
        self._gateway = gateway
        self._bus = bus
        self._rooms = [shard.room_table.enter(room_id) for room_id in record.rooms]
        self._keeper = Keeper(record.connection_id)
        try:
            self.session = session_of(shard, record, self._rooms[0])
        except BaseException:
            self.give_up()
            raise

    async def prepare(self, seen: dict[str, int]) -> None:
        for room in self._rooms:
            await self._joined(room)
        kept_from: dict[str, int] = {}
        for room in self._rooms:
            while (position := self._bus.seen(room.id)) < seen.get(room.id, 0):
                await self._bus.reach(room.id, seen[room.id])
            self._keeper.enter([room])
            kept_from[room.id] = position
        missed: list[bytes] = []
        for room_id, position in kept_from.items():
            after = seen.get(room_id, position)
            if after < position:
                missed += self._of_it(await self._gateway.frames(room_id, after, position))
        # What was kept came after all of this.
        self._keeper.frames[:0] = missed

    def _of_it(self, messages: list[Missed]) -> list[bytes]:
        connection_id = self.session.id
        return [wire for message in messages if connection_id not in message.excluded for wire in message.frames]

    async def _joined(self, room: Room[Session]) -> None:
        if room.waiting is None:
            return
        joined = asyncio.Event()
        room.waiting[self] = joined.set
        try:
            await joined.wait()
        finally:
            room.wait_no_more(self)

    def land(self, landed: Callable[[Session], None], waiting: Waiting) -> None:
        """It is here, and waits for its client."""
        land(self._shard, Lander(self.session, None, None, self._keeper, self._rooms, landed, waiting))

    def give_up(self) -> None:
        """It stays where it is."""
        self._keeper.leave()
        for room in self._rooms:
            self._shard.room_table.let_go(room)
