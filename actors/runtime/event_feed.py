"""`EventFeed`: what happens to a shard's sessions, on its way to the supervisor's event socket.

Created by a worker's entry. It makes nothing while nobody listens, sends one message per loop turn, and never waits: when
the supervisor does not take what was sent, events are dropped and counted. Events of one session are published in the order in
which they happened when it moves, too: whoever moves it has what is behind the move wait until the feed is `settled`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec

from wspulse.actors.mesh.lifecycle import Events, EventsMark
from wspulse.actors.mesh.message import Message
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.values.codec import JSONCodec
from wspulse.actors.values.errors import text_of
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.text.lone_surrogates import decode_json

__all__ = ["EventFeed"]

PENDING_EVENTS = 10_000
PENDING_BYTES = 4 * 1024 * 1024
"""What may wait in a worker while the supervisor is busy."""

PAYLOAD_BYTES = 16 * 1024
"""Larger payloads are left out of `message` events, which are for watching, not for transport."""

RETRY_S = 0.01

SETTLED_S = 1.0
"""How long somebody waits for events to be published: a supervisor that is stuck must not hold up a session for longer."""

MOST_MARKS = 2**20
"""Of one process."""

_encode = msgspec.msgpack.Encoder().encode


class EventFeed:
    """Feeds what `send` carries. `is_backlogged()` says that something sent before is still not with the kernel. Where there
    are several hosts, events bear the name of this `host`."""

    def __init__(
        self, shard: Shard, send: Callable[[Message], None], is_backlogged: Callable[[], bool], host: str = ""
    ) -> None:
        self._place: dict[str, Any] = {"shard": shard.index, "host": host} if host else {"shard": shard.index}
        self._shard = shard
        self._send = send
        self._is_backlogged = is_backlogged
        self._prefixes: tuple[bytes, ...] = ()
        self._wants_messages = False
        self._pending: list[tuple[bytes, bytes]] = []
        self._pending_bytes = 0
        self._dropped = 0
        self._flushing: asyncio.Handle | None = None
        self._mark = shard.incarnation * MOST_MARKS
        """The last one that somebody waits for. What another process of this shard is answered means none of ours."""
        self._is_mark_due = False
        self._settling: dict[int, tuple[Callable[[], None], asyncio.TimerHandle]] = {}
        """By mark: what is called when it was taken, and what gives up waiting."""
        if shard.options.publish_messages:
            self._listen_to_messages()

    def watch(self, prefixes: list[bytes]) -> None:
        """Publish what has a topic that begins with one of these, from now on."""
        self._prefixes = tuple(prefixes)
        self._shard.events = self._session_event if prefixes else None
        self._wants_messages = any(_overlap(b"message.", prefix) for prefix in prefixes)

    def flush(self) -> None:
        """Send what waits."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if self._pending:
            if self._is_backlogged():
                self._flushing = self._shard.loop.call_later(RETRY_S, self.flush, context=self._shard.context)
                return
            events, self._pending, self._pending_bytes = self._pending, [], 0
            dropped, self._dropped = self._dropped, 0
            self._send(Events(events, dropped))
        if self._is_mark_due:
            self._is_mark_due = False
            self._send(EventsMark(self._mark))

    def settled(self, call: Callable[[], None]) -> None:
        """Have `call()` made when all that has happened by now is published: at once where nobody listens, otherwise from the
        loop, after 1 s at most. Calls are made in the order in which they were asked for."""
        if not self._prefixes:
            call()
            return
        self._mark += 1
        loop, context = self._shard.loop, self._shard.context
        self._settling[self._mark] = call, loop.call_later(SETTLED_S, self.taken, self._mark, context=context)
        self._is_mark_due = True
        self.flush()

    def taken(self, number: int) -> None:
        """The supervisor has published what lay ahead of this mark, or does not say so in time."""
        if number > self._mark:
            return
        for mark in [mark for mark in self._settling if mark <= number]:
            call, timer = self._settling.pop(mark)
            timer.cancel()
            call()

    def close(self) -> None:
        """Send what waits; nobody waits for its publication any more."""
        self.flush()
        if self._flushing is not None:
            self._flushing.cancel()
        for _, timer in self._settling.values():
            timer.cancel()
        self._settling.clear()

    def _listen_to_messages(self) -> None:
        on_message = self._shard.handlers.on_message

        def heard(connection: Connection, frame: Frame) -> Any:
            if self._wants_messages:
                self._message(connection, frame)
            return on_message(connection, frame) if on_message is not None else None

        self._shard.handlers.on_message = heard

    def _session_event(self, kind: str, session: Session, error: BaseException | None) -> None:
        fields: dict[str, Any] = {}
        if kind in ("disconnect", "drop"):
            fields["error"] = None if error is None else {"type": type(error).__name__, "message": text_of(error)}
        self._add(kind, session.room.id, session.id, fields)

    def _message(self, connection: Connection, frame: Frame) -> None:
        self._add("message", connection.room_id, connection.id, {"frame": self._frame_fields(frame)})

    def _frame_fields(self, frame: Frame) -> dict[str, Any]:
        fields: dict[str, Any] = {"event": frame.event, "id": frame.id}
        payload: Any = frame.payload
        if payload is msgspec.UNSET:
            return fields
        if _size(payload) > PAYLOAD_BYTES:
            return {**fields, "truncated": True}
        if isinstance(payload, msgspec.Raw) and isinstance(self._shard.options.codec, JSONCodec):
            try:
                payload = decode_json(payload)
            except (ValueError, RecursionError):
                return {**fields, "truncated": True}
        return {**fields, "payload": payload}

    def _add(self, kind: str, room_id: str, connection_id: str, fields: dict[str, Any]) -> None:
        topic = f"{kind}.{room_id}".encode()
        if not topic.startswith(self._prefixes):
            return
        if len(self._pending) >= PENDING_EVENTS or self._pending_bytes >= PENDING_BYTES:
            self._drop()
            return
        try:
            event = _encode(
                {
                    "kind": kind,
                    "room": room_id,
                    "connection": connection_id,
                    **self._place,
                    "time": time.time(),
                    **fields,
                }
            )
        except (TypeError, ValueError, OverflowError, RecursionError):
            self._drop()  # a payload of a codec that is not ours
            return
        self._pending.append((topic, event))
        self._pending_bytes += len(event)
        if self._flushing is None:
            self._flushing = self._shard.loop.call_soon(self.flush, context=self._shard.context)

    def _drop(self) -> None:
        self._dropped += 1
        self._shard.metrics.events_dropped += 1


def _size(payload: Any) -> int:
    if isinstance(payload, msgspec.Raw):
        return memoryview(payload).nbytes
    return len(payload) if isinstance(payload, (str, bytes)) else 0


def _overlap(one: bytes, other: bytes) -> bool:
    return one.startswith(other) or other.startswith(one)
