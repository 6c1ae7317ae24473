"""`Newcomers`: those who want an id wait until it is this host's.

The admission's `Claims`, one per shard. An id is claimed while a newcomer's rooms are joined. Where another host has it that is
asked to yield it, as soon as the newcomer could be let in: then whoever has the session decides, as it would about a newcomer of
its own, and where the session goes on it comes here first (`Landing`). Newcomers of one id have their turns one after the other.
"""

from __future__ import annotations

import asyncio
from collections import deque

from wspulse.actors.cluster.contract import Claimed, Found, Gateway, Taken
from wspulse.actors.cluster.holding.predecessors import Predecessors
from wspulse.actors.cluster.ids import Ids, Spawn
from wspulse.actors.cluster.landing import Landings
from wspulse.actors.cluster.yielding import Yields
from wspulse.actors.mesh.placing.yields import Yielded
from wspulse.actors.sessions.exact.claims import id_of_owner, session_claimed
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.transport.transport import Transport
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.values.errors import ShardUnavailableError, WspulseError

__all__ = ["Newcomers"]

_NOBODY = (0, 0)

_AGAIN_S = 0.1
"""Until the directory, or a host that did not answer, is asked again."""


class _Newcomer:
    """`id` is the one that is asked for; `only_own`: its own client's token says so, and where it is wrong the newcomer has
    another."""

    __slots__ = (
        "claimed_id",
        "id",
        "is_joined",
        "is_stranger",
        "needs_entry",
        "only_own",
        "predecessor",
        "transport",
        "upgrade",
        "was_told_free",
    )

    def __init__(self, transport: Transport, upgrade: Upgrade, gateway: Gateway) -> None:
        self.transport = transport
        self.upgrade = upgrade
        self.only_own = upgrade.claim is not None and upgrade.claim.is_nameless
        self.id = id_of_owner(upgrade.connection_id, upgrade.claim)
        self.claimed_id = upgrade.connection_id
        """That is to be ours before it becomes something, unless a session of its own is here."""
        is_new = upgrade.is_made_up or self.only_own
        self.needs_entry = not is_new or gateway.maker_of(self.claimed_id) != gateway.host
        """Whether another host could have that id: not where it names ours, and was drawn for this newcomer."""
        self.was_told_free = False
        """Whether the host that has made the id up says that it has no session of it."""
        self.predecessor: tuple[str, tuple[int, int]] | None = None
        """The host and the birth key of a session that has ended for it, and whose last callbacks it is to wait for."""
        self.is_joined = False
        """Whether its rooms are."""
        self.is_stranger = False
        """Whether no session is its own."""


class Newcomers:
    """See the module. `refuse` and `go_on` of the admission are called for each that waits."""

    def __init__(
        self,
        shard: Shard,
        gateway: Gateway,
        ids: Ids,
        yields: Yields,
        landings: Landings,
        predecessors: Predecessors,
        spawn: Spawn,
    ) -> None:
        self._shard = shard
        self._gateway = gateway
        self._ids = ids
        self._yields = yields
        self._landings = landings
        self._predecessors = predecessors
        self._spawn = spawn
        self._waiting: dict[Transport, _Newcomer] = {}
        self._queues: dict[str, deque[_Newcomer]] = {}
        """By id, those whose turn is to come."""
        self.is_shut = False
        """Whether it is being found out which ids are still ours."""

    # What the admission asks.

    def came(self, transport: Transport, upgrade: Upgrade) -> bool:
        if self.is_shut or not self._gateway.is_held():
            # The admission lets go of it as of any other.
            return False
        newcomer = self._waiting[transport] = _Newcomer(transport, upgrade, self._gateway)
        self._ids.want(newcomer.id)
        if newcomer.only_own:
            self._ids.want(newcomer.claimed_id)
        if not self._may_decide(newcomer):
            self._pursue(newcomer)
        return True

    def waits(self, transport: Transport) -> bool:
        newcomer = self._waiting[transport]
        newcomer.is_joined = True
        if self._may_decide(newcomer):
            return False
        self._pursue(newcomer)
        return True

    def left(self, transport: Transport) -> None:
        newcomer = self._waiting.pop(transport, None)
        if newcomer is not None:
            self._ids.want_no_more(newcomer.id)
            if newcomer.only_own:
                self._ids.want_no_more(newcomer.claimed_id)

    def _may_decide(self, newcomer: _Newcomer) -> bool:
        if self.is_shut or not self._gateway.is_held() or newcomer.id in self._yields:
            return False
        sessions, is_held = self._shard.sessions, not newcomer.needs_entry or newcomer.claimed_id in self._ids.held
        if not newcomer.only_own:
            return is_held or newcomer.id in sessions
        return session_claimed(sessions, newcomer.upgrade) is not None or (newcomer.is_stranger and is_held)

    # The turns of those who want one id.

    def _pursue(self, newcomer: _Newcomer) -> None:
        queue = self._queues.get(newcomer.id)
        if queue is None:
            self._queues[newcomer.id] = deque([newcomer])
            self._spawn(self._run(newcomer.id))
        elif newcomer not in queue:
            queue.append(newcomer)

    async def _run(self, connection_id: str) -> None:
        queue = self._queues[connection_id]
        try:
            while queue:
                newcomer = queue[0]
                refusal = await self._bring(newcomer)
                queue.popleft()
                if not self._is_here(newcomer):
                    continue
                if refusal is not None:
                    self._shard.admission.refuse(newcomer.transport, *refusal)
                else:
                    self._shard.admission.go_on(newcomer.transport)
        finally:
            del self._queues[connection_id]

    def _is_here(self, newcomer: _Newcomer) -> bool:
        return newcomer.transport in self._waiting

    async def _bring(self, newcomer: _Newcomer) -> tuple[int, str] | None:
        """Until it may become something, is to be refused, or has yet to join its rooms."""
        gateway = self._gateway
        while self._is_here(newcomer):
            if self.is_shut or not gateway.is_held():
                return 503, "this host is not part of the cluster for now"
            await self._yields.over(newcomer.id)
            if self._may_decide(newcomer):
                return None
            try:
                found = await self._find(newcomer)
                if found is None:
                    continue
                if not newcomer.is_joined:
                    return None
                refusal = await self._ask_to_yield(newcomer, found)
                if refusal is not None:
                    return refusal
            except WspulseError:
                # The directory or that host does not answer. The handshake's deadline ends this.
                await asyncio.sleep(_AGAIN_S)
        return None

    async def _find(self, newcomer: _Newcomer) -> Taken | Found | None:
        """Who has the id that it wants, where that is another host; else it is ours then, or there is nothing that it could
        have."""
        if newcomer.only_own and not newcomer.is_stranger:
            found = None if newcomer.id in self._shard.sessions else await self._found(newcomer.id)
            newcomer.is_stranger = found is None
            return found
        is_others = self._gateway.maker_of(newcomer.claimed_id) not in (None, self._gateway.host)
        if is_others and not newcomer.was_told_free and (found := await self._found(newcomer.claimed_id)) is not None:
            # Who has made it up may have its session without an entry.
            return found
        taken = await self._claim(newcomer)
        return None if taken is None or taken.host == self._gateway.host else taken

    async def _found(self, connection_id: str) -> Found | None:
        """The other host that has an id, by the directory, or since it has made it up."""
        gateway = self._gateway
        found = await gateway.find(connection_id)
        if found is None and (maker := gateway.maker_of(connection_id)) is not None:
            found = Found(maker, _NOBODY, 0)
        return None if found is None or found.host == gateway.host else found

    async def _claim(self, newcomer: _Newcomer) -> Taken | None:
        connection_id, ids, gateway = newcomer.claimed_id, self._ids, self._gateway
        upgrade = newcomer.upgrade
        if not upgrade.serial:
            upgrade.serial = self._shard.next_serial()
        key = self._shard.origin, upgrade.serial
        try:
            with ids.deciding(connection_id) as counts:
                result: Claimed | Taken | None = await gateway.claim(connection_id, key)
                if isinstance(result, Taken) and result.host == gateway.host:
                    # Of a session of ours that is no more: its process has died, or the entry is about to go.
                    result = await gateway.move(connection_id, key, result.revision)
                self._hold(newcomer, connection_id, key, result, counts())
        except ShardUnavailableError:
            ids.doubt(connection_id, key)
            raise
        finally:
            ids.look_at(connection_id)
        return result if isinstance(result, Taken) else None

    async def _ask_to_yield(self, newcomer: _Newcomer, found: Taken | Found) -> tuple[int, str] | None:
        """Returns how it is to be refused, if it is."""
        upgrade, shard = newcomer.upgrade, self._shard
        left_s = upgrade.deadline - shard.clock()
        answer = await self._landings.ask(
            found.host,
            newcomer.id,
            upgrade,
            left_s,
            only_own=newcomer.only_own,
            is_half_closed=newcomer.transport.half_closed,
        )
        match answer.outcome:
            case "refused":
                return 409, "this connection id is in use"
            case "strange":
                newcomer.is_stranger = True
            case "free":
                await self._take_free(newcomer, found, answer)
            case "record":
                await self._landings.land(
                    found, newcomer.id, answer, lambda: self._is_here(newcomer) and not self.is_shut, left_s
                )
        return None

    async def _take_free(self, newcomer: _Newcomer, found: Taken | Found, answer: Yielded) -> None:
        if newcomer.only_own:
            newcomer.is_stranger = True
            return
        newcomer.predecessor = None if answer.running is None else (found.host, answer.running)
        revision = answer.revision or found.revision
        if not revision:
            newcomer.was_told_free = True
            return
        connection_id, ids = newcomer.id, self._ids
        key = self._shard.origin, newcomer.upgrade.serial
        try:
            with ids.deciding(connection_id) as counts:
                result = await self._gateway.move(connection_id, key, revision)
                self._hold(newcomer, connection_id, key, result, counts())
        except ShardUnavailableError:
            ids.doubt(connection_id, key)
            raise
        finally:
            ids.look_at(connection_id)

    def _hold(
        self,
        newcomer: _Newcomer,
        connection_id: str,
        key: tuple[int, int],
        result: Claimed | Taken | None,
        counts: bool,
    ) -> None:
        if isinstance(result, Claimed):
            if counts:
                self._ids.hold(connection_id, result.revision)
                if newcomer.predecessor is not None:
                    self._predecessors.follow(connection_id, *newcomer.predecessor)
                    newcomer.predecessor = None
            else:
                self._ids.doubt(connection_id, key)
