"""`InProcess`: the deployment of a server whose shard runs in this process, by itself or as one of several workers.

One per `Server`, from its declaration on. A runtime that starts attaches itself here; what the application calls goes from
here to the runtime's shard and bus, and to the shards of other processes.
"""

from __future__ import annotations

import asyncio
from _thread import get_ident
from collections.abc import Awaitable, Iterable

import msgspec

from wspulse.actors.bus.waiting import publish_when_free
from wspulse.actors.mesh.message import ConnectionList, ConnectionRecord, Kick, ListConnections, SendFrame
from wspulse.actors.mesh.placing.listing import list_sessions
from wspulse.actors.runtime.runtime import ShardRuntime
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.sessions.connections.member import Member, member_of
from wspulse.actors.sessions.connections.remote_connection import RemoteConnection
from wspulse.actors.values.errors import (
    ConnectionNotFoundError,
    InTransitError,
    ServerClosedError,
    SessionMovedError,
    ShardUnavailableError,
    id_error,
    wrong_thread,
)
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.text.ids import NOBODY, can_exist, checked_excluded

__all__ = ["InProcess"]

_NONE: frozenset[str] = frozenset()


class InProcess:
    """See the module, and `Deployment` for what its methods promise."""

    def __init__(self) -> None:
        self.runtime: ShardRuntime | None = None
        """The one that was attached last, though it may have closed: calls then say so."""

    def attach(self, runtime: ShardRuntime) -> None:
        """A runtime starts. Raises RuntimeError when another one runs."""
        if self.runtime is not None and not self.runtime.closing.server_closing:
            raise RuntimeError("wspulse: this server is already running")
        self.runtime = runtime

    def running(self) -> ShardRuntime:
        """The runtime. Raises RuntimeError before there is one."""
        runtime = self.runtime
        if runtime is None:
            raise RuntimeError("wspulse: the server is not running")
        return runtime

    def send(self, connection_id: str, frame: Frame) -> Awaitable[None] | None:
        runtime = self.runtime or self.running()
        if get_ident() != runtime.shard.thread:
            raise wrong_thread("`server.from_thread.send(connection_id, frame)`")
        if not isinstance(connection_id, str):
            raise id_error("connection", connection_id)
        shard = runtime.shard
        wire = shard.encode(frame)
        owner = runtime.placement.shard_of(connection_id)
        if owner == shard.seat and connection_id not in runtime.owners.under_way:
            try:
                shard.find(connection_id).send(wire)
                return None
            except (SessionMovedError, InTransitError):
                pass  # those who wait for it know more
            except ConnectionNotFoundError:
                if runtime.owners.elsewhere is None:
                    raise
        return _send_elsewhere(runtime, SendFrame(connection_id, wire))

    def broadcast(self, room_id: str, frame: Frame, exclude: Iterable[str] = NOBODY) -> Awaitable[None] | None:
        runtime = self.runtime or self.running()
        if get_ident() != runtime.shard.thread:
            raise wrong_thread("`server.from_thread.broadcast(room_id, frame)`")
        if not isinstance(room_id, str):
            raise id_error("room", room_id)
        if runtime.closing.server_closing:
            raise ServerClosedError
        shard = runtime.shard
        excluded = _NONE if exclude is NOBODY else checked_excluded(exclude)
        wire = shard.encode(frame)
        bus = shard.bus
        if bus.acknowledges or not (
            bus.publish_but(room_id, wire, excluded) if excluded else bus.publish(room_id, wire)
        ):
            return publish_when_free(shard, room_id, wire, excluded)
        shard.metrics.broadcasts += 1
        return None

    async def kick(self, connection_id: str, code: int, reason: str) -> None:
        runtime = self.running()
        if get_ident() != runtime.shard.thread:
            raise wrong_thread("`server.from_thread.kick(connection_id)`")
        if not isinstance(connection_id, str):
            raise id_error("connection", connection_id)
        if runtime.closing.server_closing:
            raise ServerClosedError
        if not can_exist(connection_id):
            raise ConnectionNotFoundError(connection_id)
        await runtime.owners.ask(connection_id, Kick(connection_id, code, reason))

    async def get_connections(self, room_id: str) -> list[Connection]:
        runtime = self.running()
        if get_ident() != runtime.shard.thread:
            raise wrong_thread("`asyncio.run_coroutine_threadsafe(server.get_connections(room_id), loop)`")
        if not isinstance(room_id, str):
            raise id_error("room", room_id)
        if runtime.closing.server_closing:
            raise ServerClosedError
        shard = runtime.shard
        here = {session.key: session.connection for session in shard.members(room_id)}
        connections: list[Connection] = list(here.values())
        for record in await _records_elsewhere(runtime, ListConnections(room_id, with_state=True)):
            if (record.incarnation, record.serial) in here:
                continue  # it has left since
            session = shard.sessions.get(record.id)
            if session is not None and session.key == (record.incarnation, record.serial):
                connections.append(session.connection)  # it has come since
            else:
                connections.append(RemoteConnection(runtime, record))
        return connections

    async def presence(self, room_id: str) -> list[Member]:
        runtime = self.running()
        if get_ident() != runtime.shard.thread:
            raise wrong_thread("`asyncio.run_coroutine_threadsafe(server.presence(room_id), loop)`")
        if not isinstance(room_id, str):
            raise id_error("room", room_id)
        if runtime.closing.server_closing:
            raise ServerClosedError
        shard = runtime.shard
        here = shard.records(room_id, with_state=True)
        # As a copy: what the application does to its state later is not told of as if it had been so.
        copies = msgspec.msgpack.decode(_encode(here), type=list[ConnectionRecord])
        found = {(record.incarnation, record.serial): record for record in copies}
        for record in await _records_elsewhere(runtime, ListConnections(room_id, with_state=True)):
            found[record.incarnation, record.serial] = record
        return [member_of(record) for record in found.values()]


_encode = msgspec.msgpack.Encoder().encode


async def _send_elsewhere(runtime: ShardRuntime, message: SendFrame) -> None:
    try:
        if not can_exist(message.connection_id):
            raise ConnectionNotFoundError(message.connection_id)
        await runtime.owners.ask(message.connection_id, message)
    except ShardUnavailableError:
        if runtime.closing.server_closing:
            raise ConnectionNotFoundError(message.connection_id) from None
        raise


async def _records_elsewhere(runtime: ShardRuntime, message: ListConnections) -> list[ConnectionRecord]:
    """What other processes have in a room, and this one where sessions came to it meanwhile; nothing of one that is dead, whose
    sessions died with it."""
    own = runtime.shard.seat
    unasked = {seat for seat in runtime.refs if seat != own}

    async def list_at(seat: int) -> ConnectionList | None:
        if seat == own:
            here = ConnectionList(runtime.shard.records(room_id, with_state=True))
            return msgspec.msgpack.decode(_encode(here), type=ConnectionList)
        is_first = seat in unasked
        unasked.discard(seat)
        if seat not in runtime.up_shards and (is_first or runtime.has_died(seat)):
            return ConnectionList([])
        try:
            result = await runtime.owners.ask_at(seat, message)
        except ShardUnavailableError:
            if seat in runtime.up_shards:
                raise
            return None
        return msgspec.convert(result, ConnectionList)

    room_id = message.room_id
    if room_id is None or not can_exist(room_id):
        return []
    # Those that are as good as here stand in no table, and who has had them may say nothing of them any more.
    here = [] if runtime.shard.transit is None else [own]
    if runtime.cluster is None:
        return await list_sessions([*unasked, *here], list_at)
    lists = await asyncio.gather(list_sessions([*unasked, *here], list_at), runtime.cluster.list_sessions(message))
    # One that goes from host to host may be in two.
    return list({(record.incarnation, record.serial): record for found in lists for record in found}.values())
