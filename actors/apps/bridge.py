"""The `bridge` application: the worker's end of the bridge, which leaves every decision to programs outside.

The bridge has three ends. This one is a server like a user's, made in each worker by the loader of applications; the *desk*
(`supervisor/control/bridge`) sits in the supervisor, and assigns connections to the programs that have attached; a
*program* speaks the desk's protocol, in Python through `wspulse.AsyncControl` (`supervisor/client/bridge`). This end talks to
the desk alone: it asks who may connect, tells of sessions, and hands over each inbound frame. `on_message` waits until the
frame has been sent to a program, so that a slow program pauses the reading of its connections.
(doc/reference/control.md, "Bridge")

A session that is to move does not wait for a program: its frame stays with the desk, in its place before all that follows, and
the worker where the session arrives waits for it before it hands over the next. So the desk has one frame of a client at a time.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from wspulse.actors.mesh.link import ShardLink
from wspulse.actors.mesh.message import (
    DESK_SHARD,
    QUESTION_TIMEOUT_S,
    BridgeFrame,
    BridgeMark,
    BridgeNotice,
    BridgeQuestion,
    BridgeRest,
)
from wspulse.actors.runtime.extension import Extended, Extension
from wspulse.actors.server import Server
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.values.codec import JSONCodec
from wspulse.actors.values.errors import ConnectRejected, ShardUnavailableError, text_of
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.request import Request

__all__ = ["bridge"]

MARGIN_S = 0.5
"""The desk, which knows why nobody answered, is to be the first to give up."""

MAX_MESSAGE_BYTES = 64 * 1024
"""As with the other applications that need no code."""

PATIENCE_S = 0.25
"""A frame that was not taken by then has to be watched, lest its session ends meanwhile."""

_PROGRAM = "wspulse.program"
"""Where in a connection's state the program stands that let it in."""

_LEFT = "wspulse.left"
"""Where it stands that a frame of it was left with the desk."""


def bridge(desk_path: str) -> Server:
    """A new server of the application `bridge`, whose desk has its mailbox at `desk_path`."""
    server = Server(max_message_size=MAX_MESSAGE_BYTES, publish_messages=True)
    _DeskCallbacks(server, desk_path)
    return server


class _DeskCallbacks(Extension):
    """The callbacks of one worker's server, all of which tell or ask the desk, and the link to it."""

    def __init__(self, server: Server, desk_path: str) -> None:
        self._server = server
        self._desk_path = desk_path
        self._link: ShardLink
        self._seat = 0
        self._asks: set[asyncio.Task[Any]] = set()
        self._halted: set[Connection] = set()
        """Those whose sessions are to move."""
        self._waits: dict[Connection, asyncio.Future[None]] = {}
        """What ends the waiting of a callback for that."""
        server._extend(self)
        server.on_start(self._open)
        server.on_stop(self._close)
        server.connect(self._connect)
        server.on_connect(self._on_connect)
        server.on_message(self._on_message)
        server.on_disconnect(self._on_disconnect)
        server.on_transport_drop(self._on_drop)
        server.on_transport_restore(self._on_restore)
        server.on_transfer_in(self._on_transfer_in)

    def open(self, runtime: Extended) -> None:
        self._seat = runtime.shard.seat

    async def _open(self) -> None:
        self._link = ShardLink(DESK_SHARD, self._desk_path)
        self._link.open()
        await self._link.ask(BridgeMark(), timeout_s=None)  # what is told before there is a stream is lost

    async def _close(self) -> None:
        self._link.close()
        if self._asks:
            await asyncio.wait(self._asks)

    async def _connect(self, request: Request) -> tuple[str, str, dict[str, Any]]:
        headers = {name: request.headers[name] for name in request.headers}
        question = BridgeQuestion(request.path, dict(request.query), headers, request.remote_address)
        try:
            answer = await self._link.ask(question, timeout_s=QUESTION_TIMEOUT_S + MARGIN_S)
        except ShardUnavailableError:
            raise ConnectRejected("no program answered", 503) from None
        if "status" in answer:
            raise ConnectRejected(answer["text"], answer["status"])
        return answer["room"], answer["connection"], {_PROGRAM: answer["program"]}

    def _on_connect(self, connection: Connection) -> None:
        self._notice("connected", connection)

    def _on_disconnect(self, connection: Connection, error: BaseException | None) -> None:
        self._halted.discard(connection)
        self._notice("disconnected", connection, error)

    def _on_drop(self, connection: Connection, error: BaseException | None) -> None:
        self._notice("dropped", connection, error)

    def _on_restore(self, connection: Connection) -> None:
        self._notice("restored", connection)

    def _notice(self, kind: str, connection: Connection, error: BaseException | None = None) -> None:
        told = None if error is None else {"type": type(error).__name__, "message": text_of(error)}
        program = connection.state.get(_PROGRAM, 0)
        self._link.tell(BridgeNotice(kind, self._seat, connection.id, connection.room_id, told, program))

    async def _on_message(self, connection: Connection, frame: Frame) -> None:
        payload, kind = self._payload(frame)
        message = BridgeFrame(connection.id, connection.room_id, frame.event, frame.id, payload, kind)
        ask = self._ask(message)
        while await self._leaves(connection, ask):
            try:
                await self._link.ask(BridgeMark())
            except ShardUnavailableError:
                continue  # the desk may not have the frame yet, ahead of which nothing may come
            connection.state[_LEFT] = True
            break

    def halted(self, connection: Connection) -> None:
        self._halted.add(connection)
        wait = self._waits.get(connection)
        if wait is not None and not wait.done():
            wait.set_result(None)

    def returned(self, connection: Connection) -> None:
        self._halted.discard(connection)

    def departed(self, connection: Connection) -> None:
        self._halted.discard(connection)

    def arrived(self, connection: Connection) -> None:
        self._notice("moved", connection)

    async def _on_transfer_in(self, connection: Connection) -> None:
        if not connection.state.pop(_LEFT, False):
            return
        ask = self._ask(BridgeRest(connection.id))
        if await self._leaves(connection, ask):
            connection.state[_LEFT] = True
            ask.cancel()

    def _ask(self, message: BridgeFrame | BridgeRest) -> asyncio.Task[Any]:
        ask = asyncio.ensure_future(self._link.ask(message, timeout_s=None))
        self._asks.add(ask)
        ask.add_done_callback(self._answered)
        return ask

    async def _leaves(self, connection: Connection, ask: asyncio.Task[Any]) -> bool:
        """Wait until the desk has answered, or the session has ended. Returns whether it is to move before that."""
        done, _ = await asyncio.wait({ask}, timeout=PATIENCE_S)
        if done:
            return False
        if connection not in self._halted:
            # Nobody takes it for now. A session that ends must not wait for that.
            halted = self._waits[connection] = asyncio.get_running_loop().create_future()
            closed = asyncio.ensure_future(connection.wait_closed())
            try:
                await asyncio.wait({ask, closed, halted}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                closed.cancel()
                del self._waits[connection]
        return connection in self._halted and not ask.done()

    def _answered(self, ask: asyncio.Task[Any]) -> None:
        self._asks.discard(ask)
        if not ask.cancelled():
            ask.exception()  # the desk is gone, and this worker with it

    def _payload(self, frame: Frame) -> tuple[bytes, str]:
        """The payload as it is, and what that is."""
        payload: Any = frame.payload
        if payload is msgspec.UNSET:
            return b"", ""
        if isinstance(payload, str):
            return payload.encode(), "text"
        if isinstance(payload, msgspec.Raw):
            return bytes(payload), "json" if isinstance(self._server.options.codec, JSONCodec) else "msgpack"
        return bytes(payload), "bytes"
