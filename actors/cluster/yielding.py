"""`Yields`: sessions that other hosts' newcomers ask for, as the shard sees it that has them.

One per shard. It decides about a newcomer as the admission does about one of
its own; a session that goes on there is a `Leaving`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from wspulse.actors.cluster.between import Between
from wspulse.actors.cluster.contract import Gateway, Seen
from wspulse.actors.cluster.ids import Ids, Spawn
from wspulse.actors.cluster.leaving import Gone, Leaving, Premises
from wspulse.actors.mesh.message import ConnectionRecord
from wspulse.actors.mesh.placing.yields import AwaitCallbacks, Yielded, YieldOver, YieldSession
from wspulse.actors.moving.arrival import codec_name
from wspulse.actors.sessions.connections.remote_connection import RemoteConnection
from wspulse.actors.sessions.exact.claims import Way, make_way
from wspulse.actors.sessions.exact.session import ExactSession
from wspulse.actors.sessions.inbox import Inbox
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.state import SessionEvent, SessionState
from wspulse.actors.sessions.transfer.halting import Halting
from wspulse.actors.sessions.transfer.places import go_on, wait_on
from wspulse.actors.sessions.transfer.record import FORMAT
from wspulse.actors.values.close_code import CloseReason
from wspulse.actors.values.errors import (
    ConnectionLostError,
    ConnectionNotFoundError,
    DuplicateConnectionIDError,
    InTransitError,
    SessionMovedError,
    ShardUnavailableError,
)

__all__ = ["Yields"]

_logger = logging.getLogger("wspulse.cluster")


class Yields:
    """See the module. `remote` makes the connection of a session that lives on another host; `former_owner` says at which seat an
    id is by now that was this process's to decide about."""

    def __init__(
        self,
        shard: Shard,
        gateway: Gateway,
        ids: Ids,
        bus: Seen,
        told: Gone,
        remote: Callable[[ConnectionRecord], RemoteConnection],
        former_owner: Callable[[str], int | None],
        spawn: Spawn,
    ) -> None:
        self._shard = shard
        self._gateway = gateway
        self._ids = ids
        self._told = told
        self._former_owner = former_owner
        self._spawn = spawn
        self._halting = Halting(_nobody_is_told)
        self.between = Between(shard, self._those_out)
        self._premises = Premises(shard, gateway, ids, bus, told, remote, self._halting, self.between)
        self._numbers = 0
        self._under_way: dict[str, Leaving] = {}
        ids.leaving = self._under_way.keys()

    def __contains__(self, connection_id: object) -> bool:
        return connection_id in self._under_way

    async def over(self, connection_id: str) -> None:
        """Until a session of this id is here, or is not."""
        while (under_way := self._under_way.get(connection_id)) is not None:
            await asyncio.shield(under_way.is_over)

    def doubt(self) -> None:
        """The host's lease was over: those that are under way may be another host's."""
        for under_way in self._under_way.values():
            under_way.is_doubtful = True

    async def stop(self, patience_s: float) -> None:
        """The shard ends: wait for so long at most until those that are on their way have left, or are here again."""
        if self._under_way:
            await asyncio.wait([each.is_over for each in self._under_way.values()], timeout=patience_s)

    # What takers ask.

    async def answer(self, message: YieldSession) -> Yielded:
        """Decide about a newcomer of another host. Raises WspulseError."""
        try:
            async with asyncio.timeout(message.timeout_s):
                return await self._answer(message)
        except TimeoutError:
            raise ShardUnavailableError("the session did not come to rest in time") from None

    def hear(self, message: YieldOver) -> None:
        """A taker says what has become of a session."""
        under_way = self._under_way.get(message.connection_id)
        if under_way is not None and under_way.number == message.number:
            under_way.hear(is_taken=message.is_taken)

    async def _answer(self, message: YieldSession) -> Yielded:
        connection_id = message.connection_id
        while True:
            await self.over(connection_id)
            await self._ids.decided(connection_id)
            if not self._gateway.is_held():
                raise ShardUnavailableError("this host's lease is over")
            session = await self._found(connection_id)
            if session is None:
                return await self._free(connection_id)
            if connection_id in self._under_way or self._shard.sessions.get(connection_id) is not session:
                continue
            is_own = _is_own(session, message)
            answer = self._decide(session, message, is_own=is_own)
            if answer is not None:
                return answer
            # What has ended meanwhile is free; what has moved to another process of our host is asked there.
            if await self._goes(session, message, is_own=is_own):
                return self._record(connection_id)

    def _decide(self, session: Session, message: YieldSession, *, is_own: bool) -> Yielded | None:
        """What the newcomer is told at once; None where the session has ended for it, or is to go on there."""
        if message.only_own and not is_own:
            return Yielded("strange")
        mode = self._shard.options.on_duplicate
        if (
            message.is_half_closed
            or make_way(session, is_own=is_own, is_exact=message.is_exact, on_duplicate=mode) is Way.CLOSED
        ):
            return Yielded("refused")
        return None

    def _record(self, connection_id: str) -> Yielded:
        under_way = self._under_way[connection_id]
        try:
            return under_way.record()
        except Exception:
            _logger.exception("a session could not be recorded", extra={"connection_id": connection_id})
            under_way.hear(is_taken=False)
            raise ShardUnavailableError("the session could not be recorded") from None

    async def _found(self, connection_id: str) -> Session | None:
        """Raises SessionMovedError."""
        while True:
            try:
                return self._shard.find(connection_id)
            except ConnectionNotFoundError:
                return None
            except InTransitError as in_transit:
                known = asyncio.Event()
                in_transit.wait(known.set)
                await known.wait()

    async def _free(self, connection_id: str) -> Yielded:
        ids, running = self._ids, self._ids.running(connection_id)
        if self._former_owner(connection_id) is not None:
            # Who decides about it by now knows of no callback that runs here.
            while running is not None:
                await ids.callbacks_ended(running)
                running = ids.running(connection_id)
        await ids.decided(connection_id)
        if connection_id in self._shard.sessions:
            # A newcomer of our own was quicker.
            raise ShardUnavailableError("the connection id is in use again")
        if (seat := self._former_owner(connection_id)) is not None:
            raise SessionMovedError(seat)
        return Yielded("free", ids.offer(connection_id), running=ids.running(connection_id))

    async def wait_for_callbacks(self, message: AwaitCallbacks) -> bool:
        """Whether those of a session that ended for another host's newcomer are over in time."""
        try:
            async with asyncio.timeout(message.timeout_s):
                await self._ids.callbacks_ended(message.key)
        except TimeoutError:
            return False
        return True

    # A session leaves.

    def _those_out(self) -> list[Session]:
        return [each.session for each in self._under_way.values() if each.is_out]

    async def _goes(self, session: Session, message: YieldSession, *, is_own: bool) -> bool:
        """Whether it is out of the tables. Raises ShardUnavailableError."""
        if session.state is SessionState.CLOSED:
            return False
        is_readable = (message.format, message.codec) == (FORMAT, codec_name(self._shard))
        is_connected = session.state is SessionState.CONNECTED
        follows = is_connected and is_own and not session.outlives_transport
        if not is_readable or (is_connected and not follows and not session.outlives_transport):
            # Nobody can have it, or it waits for nobody.
            close = CloseReason.DUPLICATE if is_connected else None
            session.apply(SessionEvent.DUPLICATE, error=DuplicateConnectionIDError(session.id), close=close)
            return False
        self._numbers += 1
        under_way = Leaving(self._premises, session, message.taker, self._numbers, self._is_over)
        self._under_way[session.id] = under_way
        try:
            if session.transport is not None:
                # What it had brought is not dead.
                session.transport.hand_over_rest()
            if follows:
                session.apply(SessionEvent.FOLLOW, close=CloseReason.REPLACED)
                # Should it not get there, its client comes again; else it has lost its transport.
                session.error = ConnectionLostError()
                session.window_ends = self._shard.clock() + self._shard.options.handshake_timeout
                wait_on(session)
            elif is_connected:
                session.apply(SessionEvent.YIELD, close=CloseReason.REPLACED)
            self._told.halted(session.connection)
            if await under_way.comes_to_rest() and await under_way.is_ours():
                under_way.freeze()
                self._spawn(under_way.resolve())
        finally:
            if not under_way.is_out:
                under_way.stays()
                self._is_over(under_way)
        return under_way.is_out

    def _is_over(self, under_way: Leaving) -> None:
        session, shard = under_way.session, self._shard
        del self._under_way[session.id]
        halting = shard.halting
        if isinstance(halting, Halting) and halting.holds(under_way.inbox):
            halting.forget(under_way.inbox)
        if shard.sessions.get(session.id) is session:
            go_on(under_way.inbox)
        if not self._under_way and shard.halting is self._halting:
            shard.halting = None
        if not under_way.is_over.done():
            under_way.is_over.set_result(None)
        self._ids.look_at(session.id)


def _is_own(session: Session, message: YieldSession) -> bool:
    """Whether the newcomer is the session's own client."""
    claim = message.claim
    return message.is_exact and claim is not None and isinstance(session, ExactSession) and session.is_of(claim)


def _nobody_is_told(_inbox: Inbox) -> None:
    """It is looked at again anyway."""
