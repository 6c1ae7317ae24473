"""`Calls`: what an application calls while its server runs. (contract §4)

The part of `Server` that callers see; each call goes to the server's deployment, which knows where the sessions are. All
of it may be called from any handler and any task of the server's loop; other threads have `from_thread`. It declares nothing
and starts nothing.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Iterable

from wspulse.actors.calls.deployment import Deployment
from wspulse.actors.calls.from_thread import FromThread
from wspulse.actors.runtime.runtime import ShardRuntime
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.sessions.connections.member import Member
from wspulse.actors.values.close_code import check_close
from wspulse.actors.values.errors import ServerClosedError, ShardUnavailableError, id_error, wrong_thread
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.text.ids import NOBODY, checked_excluded

__all__ = ["Calls"]


class Calls:
    """See the module. With several workers, and several hosts, every call reaches the connections of all of them, but for those
    named `local_…`. A room or connection id that is not a str raises TypeError."""

    _deployment: Deployment

    @property
    def shard(self) -> int:
        """The number of this process's shard, from 0; each host has its own. Raises RuntimeError before the server runs."""
        return self._running().shard.index

    @property
    def workers(self) -> int:
        """How many shards there are on this host. Raises RuntimeError before the server runs."""
        return self._running().workers

    @property
    def from_thread(self) -> FromThread:
        """`send`, `broadcast` and `kick` for threads other than the server's. Raises RuntimeError before the server runs, and
        in a process that joined a server: use `wspulse.Control` there."""
        shard = self._running().shard
        return FromThread(self, shard.loop, shard.thread)

    async def send(self, connection_id: str, frame: Frame) -> None:
        """Queue a frame for one session, wherever it lives; frames to one id keep the order of the calls.

        Raises ConnectionNotFoundError, ConnectionClosedError, SendBufferFullError, what the codec raises, and
        ShardUnavailableError when the owner does not answer within 5 s (on another host: it may have been sent).
        """
        pending = self._deployment.send(connection_id, frame)
        if pending is not None:
            await pending

    async def broadcast(self, room_id: str, frame: Frame, exclude: Iterable[str] = NOBODY) -> None:
        """Queue a frame for every session of a room, on every shard of every host, in one total order. Connections whose ids are
        in `exclude` do not get it (unknown ids are ignored); this costs more than a broadcast to all.

        Returns when the bus has taken the frame; it waits while a shard with members of this room is 16 MB behind. Raises
        ServerClosedError, what the codec raises, and ShardUnavailableError after 5 s of waiting (whether the frame was
        delivered is then unknown). Of several hosts: returns when the cluster keeps the frame, and waits for 10 s.
        """
        pending = self._deployment.broadcast(room_id, frame, exclude)
        if pending is not None:
            await pending

    def broadcast_nowait(self, room_id: str, frame: Frame, exclude: Iterable[str] = NOBODY) -> None:
        """`broadcast` for sync code: raises ShardUnavailableError at once when the bus is full for this room."""
        runtime = self._deployment.running()
        if not isinstance(room_id, str):
            raise id_error("room", room_id)
        shard = runtime.shard
        if get_ident() != shard.thread:
            raise wrong_thread("`server.from_thread.broadcast(room_id, frame)`")
        if runtime.closing.server_closing:
            raise ServerClosedError
        if exclude is not NOBODY and (excluded := checked_excluded(exclude)):
            taken = shard.bus.publish_but(room_id, shard.encode(frame), excluded)
        else:
            taken = shard.bus.publish(room_id, shard.encode(frame))
        if not taken:
            raise ShardUnavailableError("the bus is full")
        shard.metrics.broadcasts += 1

    async def kick(self, connection_id: str, code: int = 1000, reason: str = "kicked") -> None:
        """Destroy a session now, bypassing the resume window: what is queued is discarded, and the client gets a close frame
        with `code` and `reason`; the same values are allowed as for `Connection.close`.

        Returns when the session is no longer in the table; its on_disconnect may still be running. Raises
        ConnectionNotFoundError, ServerClosedError, ShardUnavailableError; ValueError for a code or reason that cannot be sent.
        """
        check_close(code, reason)
        await self._deployment.kick(connection_id, code, reason)

    async def get_connections(self, room_id: str) -> list[Connection]:
        """A snapshot of a room's sessions over all shards and hosts, suspended ones included.

        Raises ServerClosedError, and ShardUnavailableError if a shard is alive but does not answer; a dead one has no sessions. A
        host that does not respond is left out.
        """
        return await self._deployment.get_connections(room_id)

    async def presence(self, room_id: str) -> list[Member]:
        """Who is in a room, over all shards and hosts, including sessions that wait for their client to come back; an unknown
        room is empty. The sessions of a worker that died are gone.

        Raises the same errors as `get_connections`.
        """
        return await self._deployment.presence(room_id)

    def local_connection(self, connection_id: str) -> Connection | None:
        """The connection with that id if it lives in this process, else None; asks no other process."""
        if not isinstance(connection_id, str):
            raise id_error("connection", connection_id)
        session = self._running().shard.sessions.get(connection_id)
        return None if session is None else session.connection

    def local_connections(self) -> list[Connection]:
        """All connections that live in this process, suspended ones included; asks no other process."""
        return [session.connection for session in self._running().shard.sessions.values()]

    def local_rooms(self) -> dict[str, int]:
        """The rooms that have sessions in this process, with the number of sessions here; asks no other process."""
        return {room.id: len(room) for room in self._running().shard.rooms.values() if len(room)}

    async def close(self) -> None:
        """Close the whole server (of several hosts, this one): close all sessions with 1001, run every on_disconnect, then
        return. Idempotent.

        Called from a handler, it waits for all callbacks except those of the handler's own session. Raises RuntimeError before
        the server runs.
        """
        await self._running().close()

    def _running(self) -> ShardRuntime:
        """The runtime of this process. Raises RuntimeError if there is none."""
        return self._deployment.running()
