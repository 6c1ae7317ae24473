"""`ShardRuntime`: everything of one shard in the process that hosts it, started and stopped in one visible order.

Created by a worker's entry (`wspulse.supervisor.worker.main`), or by `server.serve()` for one shard inside the current
process. It is where the shard's actor meets the outside: the acceptor, the bus, the mailbox, the links to other shards and
the supervisor.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any

from wspulse.actors.accept.acceptor import Acceptor
from wspulse.actors.accept.handover import Handovers
from wspulse.actors.accept.http_app import HttpApplication
from wspulse.actors.accept.origins import reads_cookies
from wspulse.actors.bus.contract import Bus
from wspulse.actors.bus.local import LocalBus
from wspulse.actors.bus.zmq import ZmqBus
from wspulse.actors.mesh.actor import ASK_TIMEOUT_S, ActorRef, LocalRef
from wspulse.actors.mesh.link import ShardLink
from wspulse.actors.mesh.mailbox import Mailbox
from wspulse.actors.mesh.message import (
    BroadcastPayload,
    BusConsumed,
    CloseConnection,
    CloseRequested,
    GetStats,
    Kick,
    ListConnections,
    ListRooms,
    Message,
    PresenceReport,
    SendFrame,
    SendPayload,
    ShardDown,
    ShardUp,
    WatchClosed,
    WatchRoom,
)
from wspulse.actors.mesh.placement import Placement
from wspulse.actors.runtime.extension import Extensions
from wspulse.actors.runtime.loop_lag import LoopLag
from wspulse.actors.runtime.served import Served
from wspulse.actors.sessions.handlers import Handlers
from wspulse.actors.sessions.inbox import Inbox, current_inbox
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.values.control_frame import encode_control_frame, read_control_frame
from wspulse.actors.values.errors import ServerClosedError
from wspulse.actors.wire.handshake import HEALTH_PATH

__all__ = ["ShardRuntime"]

_LAST_CALLBACK_S = 2.0
"""How long the handler that called `server.close()` may still run when all else has ended."""


_HTTP_SHARE = 0.7
"""Of the time that a worker has to end: what is left is for the lifespan of the HTTP application."""


class ShardRuntime:
    """See the module. `bus` is (push endpoint, subscribe endpoint); with one shard there is no bus. Without a `listener`
    somebody else brings the connections: an ASGI server."""

    def __init__(
        self,
        server: Served[ShardRuntime],
        *,
        shard: int,
        workers: int,
        incarnation: int,
        listener: socket.socket | None,
        path: str,
        mailbox: socket.socket | None = None,
        mailbox_paths: Sequence[str] = (),
        bus: tuple[str, str] | None = None,
        tell_supervisor: Callable[[Message], None] | None = None,
        drain_s: float = 10.0,
    ) -> None:
        self._server = server
        self._listener = listener
        self._tell_supervisor = tell_supervisor
        self._endpoints = bus
        self.workers = workers
        self.placement = Placement(workers)
        self.shard = Shard(
            index=shard,
            incarnation=incarnation,
            options=server.options,
            handlers=Handlers(**server.handlers),
            loop=asyncio.get_running_loop(),
            clock=monotonic,
        )
        self._extensions = Extensions(server._extensions)
        if server._extensions:
            self.shard.resumable = self._extensions.may_resume
        self.encode = self.shard.encode
        """A frame in wire form. Raises what the codec raises."""
        self.up_shards: dict[int, int] = {}
        """Shard → incarnation of those that are known to be up."""
        self.server_closing = False
        self._links: dict[int, ShardLink] = {}
        self._handovers = Handovers(self.shard, self._links)
        self.refs: dict[int, ActorRef] = {shard: LocalRef(self.receive)}
        self._acceptor = Acceptor(
            self.shard,
            self.placement,
            path=path,
            pages=self._extensions.pages(path),
            connect=server.checked_connect(),
            hand_over=self._handovers.hand_over,
        )
        self._http: HttpApplication | None = None
        self._http_patience_s = drain_s * _HTTP_SHARE
        self._closer: asyncio.Task[Any] | None = None
        if server.options.http_app is not None and listener is not None:
            self._acceptor.http = self._http = HttpApplication(
                server.options.http_app,
                paths=(path, HEALTH_PATH, *self._acceptor.pages),
                make_newcomer=self._acceptor.newcomer,
                answer=self._acceptor.answer,
                logger=server.options.logger,
            )
        self._mailbox = None
        if mailbox is not None:
            self._mailbox = Mailbox(mailbox, shard, incarnation, self.receive, self._handovers.take_over)
            for other, mailbox_path in enumerate(mailbox_paths):
                if other != shard:
                    link = ShardLink(
                        other, mailbox_path, up=partial(self._shard_up, other), down=partial(self._shard_down, other)
                    )
                    self._links[other] = self.refs[other] = link
        self.bus: Bus
        self._zmq_bus: ZmqBus | None = None
        self._closers: set[Inbox] = set()
        """Sessions from whose handlers the server was closed: they wait for the end, and the end not for them."""
        self._closed: asyncio.Future[None] | None = None
        self._started = False
        self._started_at = monotonic()
        self._lag = LoopLag()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def connections(self) -> int:
        return len(self.shard.sessions)

    # Start and stop.

    async def start(self) -> None:
        """Join the other shards, run on_start, accept. Raises what on_start raises."""
        self._warn_of_foreign_pages()
        self._open_bus()
        self._server.attach(self)
        self._extensions.open(self)
        if self._mailbox is not None:
            self._mailbox.open()
        for link in self._links.values():
            link.open()
        for handler in self._server.start_handlers:
            await _maybe_await(handler())
        self._started = True
        if self._http is not None:
            await self._http.start()
        if self._listener is not None:
            await self._acceptor.open(self._listener)

    def _warn_of_foreign_pages(self) -> None:
        options = self.shard.options
        if self.shard.index == 0 and options.check_origin is None and reads_cookies(self._server.checked_connect()):
            options.logger.warning(
                "connect reads cookies and every origin is allowed: any web page can connect in the name of its visitor; "
                "pass Server(check_origin=allow_origins([...])) or --allow-origin"
            )

    def _open_bus(self) -> None:
        shard = self.shard
        if self._endpoints is None:
            self.bus = LocalBus(shard.deliver)
        else:
            self._zmq_bus = self.bus = ZmqBus(
                *self._endpoints,
                shard=shard.index,
                incarnation=shard.incarnation,
                metrics=shard.metrics,
                deliver=shard.deliver,
                tell_consumed=self._tell_consumed,
            )
        shard.bus = self.bus

    def stop_accepting(self) -> None:
        self._acceptor.close()

    async def drain(self, *, server_closes: bool = True) -> None:
        """Accept no more, end every session with 1001, and wait for their callbacks and their peers' close frames.

        Where only this shard is replaced (`server_closes` is False) it is deaf from here on: upgrades that other shards
        hand over wait for the replacement instead of being refused, and the last callbacks may still broadcast.
        """
        self.server_closing = self.server_closing or server_closes
        if self._mailbox is not None and not server_closes:
            self._mailbox.leave_descriptors()
        self._acceptor.close()
        if not server_closes and self._mailbox is not None:
            self._mailbox.close()
        self.shard.close_all()
        requests = (
            self._spawn(self._http.drain(self._http_patience_s, self._closer)) if self._http is not None else None
        )
        await self._acceptor.quiet()
        await self.shard.quiet(self._closers)
        if requests is not None:
            await requests

    async def stop(self) -> None:
        """End what `start` began, in reverse. What still runs is given up."""
        self.server_closing = True
        self._acceptor.close()
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)
        if self._closers:
            try:
                async with asyncio.timeout(_LAST_CALLBACK_S):
                    await self.shard.quiet()
            except TimeoutError:
                pass
        if self._http is not None:
            await self._http.stop()
        if self._started:
            self._started = False
            for handler in reversed(self._server.stop_handlers):
                try:
                    await _maybe_await(handler())
                except Exception:
                    self.shard.options.logger.exception("on_stop raised")
        await self.shard.abort()
        self._extensions.close()
        for task in list(self._tasks):
            task.cancel()
        self._lag.stop()
        for link in self._links.values():
            link.close()
        if self._mailbox is not None:
            self._mailbox.close()
        if self._zmq_bus is not None:
            self._zmq_bus.stop()

    async def close(self) -> None:
        """`server.close()`: the whole server, from any shard and from inside any handler."""
        first = self._closed is None
        if self._closed is None:
            self._closed = asyncio.get_running_loop().create_future()
            self._closer = asyncio.current_task()
        caller = current_inbox.get()
        if caller is not None:
            self._closers.add(caller)
            self.shard.look_if_quiet()
        if not first:
            await asyncio.shield(self._closed)
            return
        self.server_closing = True
        if self._tell_supervisor is not None:
            self._tell_supervisor(CloseRequested())
            await asyncio.shield(self._closed)
            return
        # Nobody else holds the listener here: what connects from now on is to be refused, not to wait in its queue.
        self._acceptor.close()
        if self._listener is not None:
            self._listener.close()
        await self.drain()
        if self._listener is None:
            # Under an ASGI server that speaks no lifespan to us nobody calls `stop`: let nothing tick on.
            self._lag.stop()
            if not self._closers:
                await self.shard.abort()
        if not self._closed.done():
            self._closed.set_result(None)

    # What comes from elsewhere.

    def handle(self, message: Message) -> None:
        """A message of the supervisor."""
        match message:
            case ShardUp():
                if message.shard != self.shard.index:
                    self.up_shards[message.shard] = message.incarnation
            case ShardDown():
                if self.up_shards.get(message.shard) == message.incarnation:
                    del self.up_shards[message.shard]
            case _:
                self.receive(message)

    def receive(self, message: Message) -> Any:
        """A message to this shard's actor. Returns the result, or a future of it; raises a WspulseError."""
        shard = self.shard
        match message:
            case SendFrame():
                shard.find(message.connection_id, message.key).send(message.wire)
            case BusConsumed():
                if self._zmq_bus is not None:
                    self._zmq_bus.consumed(message.shard, message.sender, message.number)
            case Kick():
                shard.kick(message.connection_id)
            case CloseConnection():
                shard.close_session(shard.find(message.connection_id, message.key))
            case WatchClosed():
                return shard.find(message.connection_id, message.key).watch()
            case ListConnections():
                return shard.records(message.room_id)
            case ListRooms():
                return [(room.id, len(room)) for room in shard.rooms.values() if len(room)]
            case SendPayload():
                session = shard.find(message.connection_id)
                session.send(self._encode(message))
            case BroadcastPayload():
                return self._publish(message.room_id, self._encode(message))
            case GetStats():
                return self.stats()
            case WatchRoom() | PresenceReport():
                self._extensions.receive(message)
            case _:
                shard.options.logger.error(
                    "a message came that no shard takes", extra={"message_type": type(message).__name__}
                )
        return None

    def _encode(self, message: SendPayload | BroadcastPayload) -> bytes:
        codec = self.shard.options.codec
        return encode_control_frame(self.shard.encode, read_control_frame(message.frame, message.encoding, codec))

    def _publish(self, room_id: str, wire: bytes) -> asyncio.Task[None] | None:
        """Broadcast a frame in wire form, at once where the bus takes it. Raises ServerClosedError; the task
        ShardUnavailableError."""
        if self.server_closing:
            raise ServerClosedError
        if self.bus.publish(room_id, wire):
            return None
        return self._spawn(self.bus.publish_when_free(room_id, wire))

    async def ask(self, shard: int, message: Message, timeout_s: float | None = ASK_TIMEOUT_S) -> Any:
        """Ask a shard, this one included. Raises ShardUnavailableError and what the shard raises."""
        return await self.refs[shard].ask(message, timeout_s=timeout_s)

    def stats(self) -> dict[str, Any]:
        """What this shard knows of itself, as plain values."""
        shard = self.shard
        metrics = shard.metrics
        return {
            "connections": len(shard.sessions),
            "rooms": sum(1 for room in shard.rooms.values() if len(room)),
            "queued": sum(session.queued_frames for session in shard.sessions.values()),
            "uptime_s": monotonic() - self._started_at,
            "loop_lag_s": self._lag.last_s,
            "loop_lag_worst_s": self._lag.worst_s,
            **{name: getattr(metrics, name) for name in type(metrics).__slots__},
        }

    def _spawn(self, coroutine: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _shard_up(self, shard: int, incarnation: int) -> None:
        self.up_shards[shard] = incarnation
        if self._zmq_bus is not None:
            self._zmq_bus.shard_up(shard)
        self._extensions.shard_up(shard, incarnation)

    def _shard_down(self, shard: int, incarnation: int) -> None:
        if self.up_shards.get(shard) == incarnation:
            del self.up_shards[shard]
        if self._zmq_bus is not None:
            self._zmq_bus.shard_down(shard)
        self._extensions.shard_down(shard, incarnation)

    def _tell_consumed(self, shard: int, sender: int, number: int) -> None:
        link = self._links.get(shard)
        if link is not None:
            link.tell(BusConsumed(self.shard.index, sender, number))


async def _maybe_await(result: Any) -> None:
    if hasattr(result, "__await__"):
        await result
