"""The applications that need no code: `relay` and `echo`."""

from __future__ import annotations

from collections.abc import Awaitable
from time import monotonic
from typing import Any

from wspulse.actors.apps.chat_page import chat_pages
from wspulse.actors.apps.presence import Presence
from wspulse.actors.runtime.extension import Extension
from wspulse.actors.server import Server
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.values.errors import ShardUnavailableError
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.log_limit import LogLimit
from wspulse.actors.values.request import Query, Request
from wspulse.actors.wire.handshake import Pages

__all__ = ["builtin"]

_MAX_MESSAGE_BYTES = 64 * 1024
"""The library's default of 512 bytes suits an application that knows its messages; these do not."""

_PRESENCE_WINDOW_S = 30.0
"""For those who ask who is there: long enough for a phone that changes its network or a page that is reloaded."""


def _identify(request: Request) -> tuple[str, str]:
    query = request.query
    return query.get("room", "lobby"), query.get("id", "")


def _wants_presence(connection: Connection) -> bool:
    """The request that began the session counts, as for its room."""
    query: Query = connection.request.query
    return query.get("presence") == "1"


class _ChatPages(Extension):
    """The page that talks to the relay."""

    def pages(self, websocket_path: str) -> Pages:
        return chat_pages(websocket_path)


class _ResumeWindow(Extension):
    """Without a `resume_window` of the operator's, sessions that asked for presence have one and no others."""

    is_the_operators = False

    def may_resume(self, connection: Connection) -> bool:
        return self.is_the_operators or _wants_presence(connection)


class _Relay(Server):
    def __init__(self) -> None:
        super().__init__(_identify, max_message_size=_MAX_MESSAGE_BYTES, resume_window=_PRESENCE_WINDOW_S)
        self._window = _ResumeWindow()
        self._gave_up_log = LogLimit()
        presence = Presence(_wants_presence)
        for extension in (_ChatPages(), self._window, presence):
            self._extend(extension)
        self.on_connect(presence.connected)
        self.on_transport_drop(presence.suspended)
        self.on_transport_restore(presence.resumed)
        self.on_disconnect(presence.gone)

    def override(self, options: dict[str, Any]) -> None:
        super().override(options)
        if "resume_window" in options:
            self._window.is_the_operators = True

    async def relay_when_free(self, connection: Connection, frame: Frame) -> None:
        """The bus takes nothing for this room, because a shard that it concerns is silent, or the supervisor: the sender waits,
        and is not read meanwhile. That is nobody's fault who is here, and ends when whoever is silent speaks or is replaced."""
        while True:
            try:
                await self.broadcast(connection.room_id, frame)
                return
            except ShardUnavailableError as error:
                # It was not taken, so that it may be tried again.
                if connection.closed:
                    self._gave_up(connection, error)
                    return

    def _gave_up(self, connection: Connection, error: ShardUnavailableError) -> None:
        suppressed = self._gave_up_log.admit(monotonic())
        if suppressed is not None:
            self.options.logger.warning(
                "a frame was not relayed: its sender left while the bus accepted nothing",
                extra={"connection_id": connection.id, "reason": error.reason, "not_logged": suppressed},
            )


def _relay() -> Server:
    server = _Relay()

    @server.on_message
    def relay(connection: Connection, frame: Frame) -> Awaitable[None] | None:
        try:
            server.broadcast_nowait(connection.room_id, frame)
        except ShardUnavailableError:
            return server.relay_when_free(connection, frame)
        return None

    return server


def _echo() -> Server:
    server = Server(_identify, max_message_size=_MAX_MESSAGE_BYTES)

    @server.on_message
    def echo(connection: Connection, frame: Frame) -> None:
        connection.send_nowait(frame)

    return server


_BUILTIN = {"relay": _relay, "echo": _echo}


def builtin(name: str) -> Server | None:
    """A new server of that name, or None.

    Both take the room from `?room=` (default "lobby") and the connection id from `?id=`. `relay` broadcasts every inbound
    frame to its room, tells those who connect with `?presence=1` who is there, and serves the chat page; `echo` answers
    the sender with the same frame.
    """
    make = _BUILTIN.get(name)
    return make() if make is not None else None
