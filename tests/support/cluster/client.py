"""`Client`: a client whose connection exists only in the test: plain, or one of exact sessions, which comes back on any host."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from tests.support.cluster.host import Host
from tests.support.sessions.transport_shell import NotedSocket
from tests.support.wire.raw_peer import masked
from wspulse.actors.transport.compression.choice import new_transport
from wspulse.actors.transport.transport import Transport
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.values.request import Request
from wspulse.actors.values.text.exact import SUBPROTOCOL, Claim
from wspulse.actors.wire.frames import CLOSE, PING, PONG, TEXT, messages_of

__all__ = ["Client", "Line"]

_ANSWER = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
_REQUEST = Request(b"GET /ws HTTP/1.1", None)
HANDSHAKE_S = 10.0


class _Socket(NotedSocket):
    """Its kernel takes everything; whoever ends it is told in the next turn."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        self._line = line
        self.is_lost = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._line.takes(bytes(data))

    def close(self) -> None:
        self._end()

    def abort(self) -> None:
        self._end()

    def _end(self) -> None:
        if not self.closing:
            self.closing = True
            self._line.host.shard.loop.call_soon(self.lose)

    def lose(self, error: Exception | None = None) -> None:
        """The connection has ended."""
        if not self.is_lost:
            self.is_lost = self.closing = True
            self._line.is_over = True
            if not self._line.host.is_dead:
                assert self.protocol is not None
                self.protocol.connection_lost(error)


class Line:
    """One connection. `status` is what it was answered, `frames` what came, `closed` the close frame's code and reason."""

    def __init__(self, client: Client, host: Host, upgrade: Upgrade) -> None:
        self.client = client
        self.host = host
        self.status = 0
        self.frames: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self.is_over = False
        self.first: dict[str, Any] | None = None
        self.late_s = 0.0
        """How much later what it sends from now on arrives."""
        self._arrives_at = 0.0
        self._key: tuple[int, int] | None = None
        self.transport: Transport = new_transport(host.shard, upgrade)
        self.socket = _Socket(self)
        self.socket.protocol = self.transport
        client.line = self
        client.lines.append(self)
        self.transport.connection_made(self.socket)

    def __repr__(self) -> str:
        state = self.transport.state.value
        return f"<line of {self.client.id} to {self.host}: {self.status}, {self.first}, {self.closed}, {state}>"

    @property
    def key(self) -> tuple[int, int] | None:
        """Of its session, which has let go of it where it says farewell."""
        if self.transport.session is not None:
            self._key = self.transport.session.key  # type: ignore[attr-defined]
        return self._key

    @property
    def is_open(self) -> bool:
        return self.status == 101 and not self.is_over and self.closed is None

    def takes(self, data: bytes) -> None:
        if self.is_over or self.host.is_dead:
            return
        if data.startswith(b"HTTP/1.1 "):
            self.status = int(data[9:12])
            data = data.partition(b"\r\n\r\n")[2] if self.status == 101 else b""
        for opcode, payload, _ in messages_of(data):
            if opcode == PING:
                self._send_soon(masked(PONG, payload))
            elif opcode == CLOSE:
                self.closed = int.from_bytes(payload[:2]), payload[2:].decode()
                self._send_soon(masked(CLOSE, payload[:2]))
            elif opcode == TEXT:
                self.client.reads(self, json.loads(payload))

    def say(self, event: str, payload: Any = None) -> None:
        self.send({"event": event, "payload": payload})

    def send(self, frame: dict[str, Any]) -> None:
        self._send_soon(masked(TEXT, json.dumps(frame).encode()))

    def _send_soon(self, data: bytes) -> None:
        loop = self.host.shard.loop
        if not self.late_s and self._arrives_at < loop.time():
            loop.call_soon(self._arrive, data)
            return
        # Timers of one moment have no order.
        self._arrives_at = max(loop.time() + self.late_s, self._arrives_at + 1e-9)
        loop.call_at(self._arrives_at, self._arrive, data)

    def _arrive(self, data: bytes) -> None:
        if not self.socket.closing and not self.host.is_dead:
            assert isinstance(self.socket.protocol, asyncio.Protocol)
            self.socket.protocol.data_received(data)

    def cut(self) -> None:
        """The connection ends, without a word."""
        self.is_over = True
        if not self.host.is_dead:
            self.socket.lose(ConnectionResetError())

    def abandon(self) -> None:
        """The client looks at nothing of it any more; the server does not know."""
        self.is_over = True


class Client:
    """With an id, in a room. An exact one counts what it gets, and says again what was not taken when it is back."""

    def __init__(
        self, connection_id: str, room_id: str = "lobby", *, is_exact: bool = False, named: bool = True
    ) -> None:
        self.id = connection_id
        self.room_id = room_id
        self.is_exact = is_exact
        self.is_named = named
        """Whether the application names it; else the server makes an id up, and the token says whose a session is."""
        self.line: Line | None = None
        self.lines: list[Line] = []
        self.frames: list[tuple[tuple[int, int] | None, dict[str, Any]]] = []
        """Of all lines, in order, each with the birth key of its session."""
        self.token = ""
        self.received = 0
        self.said: list[tuple[str, Any]] = []
        """Of this session, what the server has yet to say that it has taken, behind `taken`."""
        self.taken = 0
        self.recovered: list[bool] = []
        self.lost = 0
        self.began: Callable[[Client], object] = lambda _client: None
        """Called when it is told of a new session."""
        self.current_id = connection_id

    @property
    def has_begun(self) -> bool:
        """Whether it may say something."""
        line = self.line
        return line is not None and (line.status == 101 if not self.is_exact else line.first is not None)

    @property
    def status(self) -> int:
        """What its last line was answered; 0: nothing yet."""
        return 0 if self.line is None else self.line.status

    @property
    def closed(self) -> tuple[int, str] | None:
        """What its last line was told at its end."""
        return None if self.line is None else self.line.closed

    def dial(self, host: Host, rooms: tuple[str, ...] = ()) -> Line:
        """Come (back), on this host."""
        if self.line is not None:
            self.line.abandon()
        deadline = host.shard.clock() + HANDSHAKE_S
        upgrade = Upgrade(self.room_id, self.id, None, _REQUEST, _ANSWER, deadline, rooms=rooms)
        if self.is_exact:
            upgrade.subprotocol = SUBPROTOCOL
            if self.token:
                upgrade.claim = Claim(self.token, self.received, is_nameless=not self.is_named)
        if not self.is_named:
            host.drawn += 1
            upgrade.connection_id = f"00000000-{ord(host.name):04x}-8{host.drawn:03x}-8000-000000000000"
            upgrade.is_made_up = not upgrade.claim
        return Line(self, host, upgrade)

    def reads(self, line: Line, frame: dict[str, Any]) -> None:
        if line is not self.line:
            return
        event = frame.get("event", "")
        if event == "wspulse.session":
            self._begins(line, frame["payload"])
        elif event == "wspulse.ack":
            self.taken = frame["payload"]
        elif event == "wspulse.lost":
            self.lost += frame["payload"]
            self.received += frame["payload"]
        else:
            self.received += 1
            line.frames.append(frame)
            self.frames.append((line.key, frame))

    def _begins(self, line: Line, first: dict[str, Any]) -> None:
        line.first = first
        self.token, self.current_id = first["token"], first["id"]
        self.recovered.append(first["recovered"])
        if first["recovered"]:
            self.received += first["lost"]
            self.lost += first["lost"]
            self.taken = first["received"]
            for event, payload in self.said[self.taken :]:
                line.say(event, payload)
        else:
            self.received = self.taken = 0
            self.said = []
            self.began(self)

    def say(self, event: str, payload: Any = None) -> None:
        assert self.line is not None
        if self.is_exact:
            self.said.append((event, payload))
        self.line.say(event, payload)

    def answer(self, question: dict[str, Any], payload: Any) -> None:
        """Answer a call of the server."""
        assert self.line is not None
        self.line.send({"id": question["id"], "event": question["event"], "payload": payload})

    def payloads(self, event: str, key: tuple[int, int] | None = None) -> list[Any]:
        """What it got, in all sessions or in one."""
        return [
            frame.get("payload")
            for of, frame in self.frames
            if frame.get("event") == event and (key is None or of == key)
        ]
