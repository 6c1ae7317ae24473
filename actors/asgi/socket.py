"""`AsgiSocket`: an ASGI connection in the shape of a socket, so that a `Transport` can be carried by one.

Created by the ASGI application for each WebSocket that it admits; only its `Transport` writes to it. What the transport
writes is cut back into messages, which a task hands to the ASGI server one at a time: a server that awaits its peer
pushes back here, as a kernel does. What the ASGI server receives becomes the frames that the transport expects. The
heartbeat is the ASGI server's own: our pings are answered here and never sent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from contextvars import copy_context
from typing import Any, cast

from wspulse.actors.sessions.shard import Shard
from wspulse.actors.transport.transport import Transport
from wspulse.actors.values.asgi import Event, Receive, Scope, Send
from wspulse.actors.values.close_code import EMPTY_CLOSE_CODE, CloseReason
from wspulse.actors.values.errors import ProtocolError
from wspulse.actors.wire.answer import parse_answer
from wspulse.actors.wire.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    encode_close,
    encode_frame,
    messages_of,
    parse_close,
    unmasked,
)

__all__ = ["AsgiSocket", "answer_events"]

_HIGH_WATER_BYTES = 1024 * 1024
"""What may wait for the ASGI server before the peer counts as slow: in the place of a kernel's socket buffer, which takes
the bursts of a peer that reads."""

_LOW_WATER_BYTES = _HIGH_WATER_BYTES // 4

_STUCK_S = 0.1
"""A send that the ASGI server has not finished for so long is one that its peer does not take."""

_FAREWELL_S = 0.5
"""How long a last close frame may take that nobody waits for."""

_LOST_WAIT_S = 1.0
"""After a send failed, how long the ASGI server may take to say how the connection ended."""

_OWN_PING = encode_frame(PING, b"")[0]


class AsgiSocket(asyncio.Transport):
    """See the module. `ended` is done when the transport has let go; then the ASGI application returns."""

    def __init__(self, shard: Shard, protocol: Transport, scope: Scope, send: Send, subprotocol: str | None) -> None:
        super().__init__()
        self._shard = shard
        self._loop = shard.loop
        self._context = copy_context()
        """That of the ASGI application, in which it is called: whoever writes has one of his own, another session's maybe."""
        self._protocol: asyncio.Protocol = protocol
        self._scope = scope
        self._send = send
        self._subprotocol = subprotocol
        self.ended: asyncio.Future[None] = shard.loop.create_future()
        self.accepted = False
        """Whether the upgrade was answered with 101."""
        self._answered = False
        self._queue: deque[bytes | Event] = deque()
        self._unsent_bytes = 0
        self._sending = False
        self._sender: asyncio.Task[None] | None = None
        """Who sends or has sent; where the loop's tasks begin at once it may have ended when it is noted."""
        self._blocked = False
        self._watched = False
        self._sent_events = 0
        self._seen_events = 0
        self._readable = asyncio.Event()
        self._readable.set()
        self._closing = False
        self._gone = False
        """The peer is, or is to be: nothing more is sent."""
        self._losing = False

    # What the transport asks for.

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The limits are this class's own."""

    def get_write_buffer_size(self) -> int:
        return self._unsent_bytes

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast("asyncio.Protocol", protocol)

    def is_closing(self) -> bool:
        return self._closing or self._gone

    def can_write_eof(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queue the answer to the upgrade (the first call), then whole frames."""
        if self._gone:
            return
        data = bytes(data)
        if not self._answered:
            self._answered = True
            events = answer_events(data, self._scope, self._subprotocol)
            self.accepted = events[0]["type"] == "websocket.accept"
            self._queue.extend(events)
        elif data[0] == _OWN_PING:
            # The transport writes nothing else with a ping.
            self._loop.call_soon(self._pong, data[2:], context=self._shard.context)
            return
        else:
            self._queue.append(data)
            self._unsent_bytes += len(data)
        if not self._sending:
            self._sending = True
            self._sender = self._loop.create_task(self._send_queue(), context=self._context.copy())
        self._watch()
        if self._unsent_bytes > _HIGH_WATER_BYTES and not self._blocked:
            self._blocked = True
            self._protocol.pause_writing()

    def write_eof(self) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is read any more; the end comes when the queue is sent."""
        self._closing = True
        if not self._sending:
            self._lose()

    def abort(self) -> None:
        self._forget_queue()
        self._lose()

    def pause_reading(self) -> None:
        self._readable.clear()

    def resume_reading(self) -> None:
        self._readable.set()

    # What the ASGI application runs.

    async def read(self, receive: Receive) -> None:
        """Hand what comes to the transport until the ASGI server says that the connection has ended."""
        while True:
            await self._readable.wait()
            event = await receive()
            if event["type"] == "websocket.disconnect":
                self._disconnected(event)
                return
            if event["type"] == "websocket.receive" and not self._gone:
                text = event.get("text")
                if text is not None:
                    # A lone surrogate is no text that UTF-8 can carry: 1007, as on a socket.
                    data = unmasked(TEXT, text.encode("utf-8", "surrogatepass"))
                else:
                    data = unmasked(BINARY, event.get("bytes") or b"")
                self._protocol.data_received(data)

    async def say_farewell(self) -> None:
        """The ASGI server ends us: tell the peer that the server goes, if it still can be told."""
        if self._gone or not self.accepted:
            return
        self._forget_queue()
        row = CloseReason.SERVER_CLOSE
        try:
            async with asyncio.timeout(_FAREWELL_S):
                await self._send({"type": "websocket.close", "code": row.code, "reason": row.reason})
        except Exception:
            pass

    async def finish(self) -> None:
        """End the task that sends. The transport hears of the end, if it has not yet."""
        self.abort()
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait([self._sender])

    # Inside.

    async def _send_queue(self) -> None:
        queue = self._queue
        try:
            while queue:
                item = queue.popleft()
                if not isinstance(item, bytes):
                    await self._send(item)
                    continue
                for opcode, payload, size in messages_of(item):
                    await self._send(_event_of(opcode, payload))
                    if self._gone:
                        return
                    self._sent_events += 1
                    self._unsent_bytes -= size
                    if self._blocked and self._unsent_bytes <= _LOW_WATER_BYTES:
                        self._blocked = False
                        self._protocol.resume_writing()
                        self._watch()
        except Exception:
            # The server knows of an end that it has yet to tell, with its code.
            self._forget_queue()
            self._shard.at(self._shard.clock() + _LOST_WAIT_S, lambda _now: self._lose())
        finally:
            self._sending = False
            if self._closing:
                self._lose()

    def _watch(self) -> None:
        """Look in a while whether the peer still takes something."""
        if not self._watched:
            self._watched = True
            self._seen_events = self._sent_events
            self._shard.at(self._shard.clock() + _STUCK_S, self._look)

    def _look(self, _now: float) -> None:
        self._watched = False
        if not self._sending or self._blocked or self._gone:
            return
        if self._sent_events == self._seen_events and self._unsent_bytes:
            self._blocked = True
            self._protocol.pause_writing()
        else:
            self._watch()

    def _pong(self, payload: bytes) -> None:
        if not self._losing:
            self._protocol.data_received(unmasked(PONG, payload))

    def _disconnected(self, event: Event) -> None:
        """The connection has ended: by the peer's close frame, or without one."""
        self._forget_queue()
        close = _close_payload(event)
        if self._losing:
            return
        self._losing = True
        if close is not None:
            self._protocol.data_received(unmasked(CLOSE, close))
        # At once: a client that dropped and comes back is to find its session suspended, not taken.
        self._connection_lost()

    def _forget_queue(self) -> None:
        self._gone = True
        self._queue.clear()
        self._unsent_bytes = 0

    def _lose(self) -> None:
        if not self._losing:
            self._losing = self._gone = True
            self._loop.call_soon(self._connection_lost, context=self._shard.context)

    def _connection_lost(self) -> None:
        self._protocol.connection_lost(None)
        if not self.ended.done():
            self.ended.set_result(None)


def answer_events(answer: bytes, scope: Mapping[str, Any], subprotocol: str | None = None) -> list[Event]:
    """The ASGI events of an answer to an upgrade: accept for a 101, else the whole response where the server can send
    one, else a close, which servers turn into a 403."""
    status, headers, body = parse_answer(answer)
    if status == 101:
        return [{"type": "websocket.accept", "subprotocol": subprotocol, "headers": headers}]
    if "websocket.http.response" in (scope.get("extensions") or {}):
        return [
            {"type": "websocket.http.response.start", "status": status, "headers": headers},
            {"type": "websocket.http.response.body", "body": body, "more_body": False},
        ]
    # RFC 6455 §7.4.1: 1008 is a violated policy, 1013 (registered) "try again later".
    reason = body[:123].decode("utf-8", "ignore")
    return [{"type": "websocket.close", "code": 1013 if status == 503 else 1008, "reason": reason}]


def _event_of(opcode: int, payload: bytes) -> Event:
    if opcode == TEXT:
        return {"type": "websocket.send", "text": payload.decode()}
    if opcode == BINARY:
        return {"type": "websocket.send", "bytes": payload}
    code, reason = parse_close(payload)
    return {"type": "websocket.close", "code": 1000 if code == EMPTY_CLOSE_CODE else code, "reason": reason}


def _close_payload(event: Event) -> bytes | None:
    """What the peer's close frame said; None where the connection ended without one."""
    code, reason = event.get("code", EMPTY_CLOSE_CODE), event.get("reason")
    if code == EMPTY_CLOSE_CODE:
        # uvicorn gives a lost socket this code as well, but no reason; of a close frame without a code it is "".
        return b"" if reason is not None else None
    payload = encode_close(code, reason or "")[2:]
    try:
        parse_close(payload)
    except ProtocolError:
        return None
    return payload
