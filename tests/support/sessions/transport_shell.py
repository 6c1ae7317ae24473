"""A shard, a session and a socket that only note what a `Transport` does to them, and a clock that is set by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from socket import AF_INET, SO_LINGER
from types import SimpleNamespace
from typing import Any

from wspulse.actors.journal.journal import Journal
from wspulse.actors.transport.compression.choice import TransportTypes, new_transport
from wspulse.actors.transport.contract import Ending
from wspulse.actors.transport.state import TransportState
from wspulse.actors.transport.transport import Transport
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.transport.writing import Writing
from wspulse.actors.values.close_code import CloseRow
from wspulse.actors.values.errors import ProtocolError
from wspulse.actors.values.metrics import Metrics
from wspulse.actors.values.options.server_options import ServerOptions
from wspulse.actors.values.request import Request
from wspulse.actors.values.timing.deadlines import Deadlines
from wspulse.actors.values.timing.service_clock import ServiceClock
from wspulse.actors.wire.frames import PONG, TEXT, encode_close, unmasked

__all__ = ["NotedSession", "NotedShard", "NotedSocket", "client_close", "opened", "pong_to", "state", "text", "waiting"]

ANSWER = b"HTTP/1.1 101 \r\n\r\n"


class NotedSocket(asyncio.Transport):
    """Its kernel takes everything, until `stall` says how many bytes it has not taken."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.written = b""
        self.unsent_bytes = 0
        self.reading = True
        self.closing = False
        self.has_exact_sessions = True
        self.protocol: asyncio.BaseProtocol | None = None
        self.is_reset = False
        """Whether its client has reset the connection, and the loop has yet to say so."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.calls.append(f"high={high}")

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def is_closing(self) -> bool:
        return self.closing

    def is_reading(self) -> bool:
        return self.reading

    def can_write_eof(self) -> bool:
        return True

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def write_eof(self) -> None:
        if self.is_reset:
            raise OSError(107, "Transport endpoint is not connected")
        self.calls.append("eof")

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("10.0.0.1", 5), "socket": self}.get(name, default)

    family = AF_INET

    def fileno(self) -> int:
        """As a socket of the kernel's, which knows nothing here."""
        return -1

    def getsockopt(self, _level: int, _option: int, _size: int) -> bytes:
        raise OSError

    def setsockopt(self, _level: int, option: int, _value: bytes) -> None:
        assert option == SO_LINGER
        self.calls.append("reset")

    def close(self) -> None:
        self.closing = True
        self.calls.append("close")

    def abort(self) -> None:
        self.closing = True
        self.calls.append("abort")

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def taken(self) -> bytes:
        """What was written since this was asked last."""
        written, self.written = self.written, b""
        return written


class NotedInbox:
    def __init__(self) -> None:
        self.behind = False
        self.received: list[bytes] = []
        self.rest: list[bytes] = []
        self.on_receive: Callable[[], object] | None = None

    def receive(self, _opcode: int, payload: bytes) -> None:
        self.received.append(payload)
        if self.on_receive is not None:
            self.on_receive()

    def receive_rest(self, _opcode: int, payload: bytes) -> None:
        self.rest.append(payload)
        if self.on_receive is not None:
            self.on_receive()


class NotedSession:
    """Lets go of its transport when that is lost, as a session does."""

    def __init__(self, transport: Transport) -> None:
        self.id = "a"
        self.connection = SimpleNamespace(id="a", request=Request(b"GET /ws HTTP/1.1", ("192.0.2.7", 5)))
        self.transport: Transport | None = transport
        self.answers_are_due = False
        self.inbox = NotedInbox()
        self.lost: list[tuple[str, bool]] = []
        self.errors: list[BaseException | None] = []
        self.flow: list[str] = []
        self.unwritten = b""
        """What the application has sent, and a flush writes."""

    def flush(self) -> None:
        if self.unwritten and self.transport is not None:
            self.transport.write(self.unwritten)
            self.unwritten = b""

    def blocked(self) -> None:
        self.flow.append("blocked")

    def unblocked(self) -> None:
        self.flow.append("unblocked")

    def transport_lost(
        self, error: BaseException | None, *, said_goodbye: bool = False, for_good: bool = False
    ) -> None:
        self.lost.append((type(error).__name__ if error is not None else "", said_goodbye))
        self.errors.append(error)
        self._detach()

    def transport_failed(self, error: BaseException, close: CloseRow) -> None:
        transport = self._detach()
        self.lost.append((type(error).__name__, False))
        self.errors.append(error)
        transport.finish(close.code, close.reason, at_once=close.discards_queue)

    def end(self, code: int = 1000, reason: str = "") -> None:
        """As `connection.close()`."""
        self._detach().finish(code, reason)

    def kick(self) -> None:
        """As `server.kick()`."""
        self._detach().finish(1000, "kicked", at_once=True)

    def _detach(self) -> Transport:
        transport, self.transport = self.transport, None
        assert transport is not None
        transport.session = None
        return transport


@dataclass
class NotedAdmission:
    admitted: list[Transport] = field(default_factory=list)
    left: list[Transport] = field(default_factory=list)

    def admit(self, transport: Transport, _upgrade: Upgrade) -> None:
        self.admitted.append(transport)

    def gone(self, transport: Transport) -> None:
        self.left.append(transport)


class NotedLoop:
    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []

    def call_soon(self, call: Callable[..., Any], *args: Any, context: Context | None = None) -> None:
        where = copy_context() if context is None else context
        self.soon.append(lambda: where.run(call, *args))

    def turn(self) -> None:
        soon, self.soon = self.soon, []
        for call in soon:
            call()


class NotedShard:
    def __init__(self, **options: Any) -> None:
        self.options = ServerOptions(**options)
        self.now = 1000.0
        self.clock = ServiceClock(lambda: self.now)
        self.noted_loop = NotedLoop()
        self.loop: Any = self.noted_loop
        self.context = copy_context()
        self.admission = NotedAdmission()
        self.writing = Writing()
        self.transport_types = TransportTypes(self.options)
        self.metrics = Metrics()
        self.journal = Journal(self.options.logger, self.metrics, self.clock)
        self.index = self.seat = 0
        self.transit: Any = None
        self.places: Any = None
        self.closing = False
        self.has_exact_sessions = True
        self.aborting = False
        self.ending: list[Ending] = []
        self.gone: list[Ending] = []
        self.left: list[Transport] = []
        self.cut: list[str] = []
        self.passed_on: list[BaseException] = []
        self._deadlines = Deadlines()

    def at(self, when: float, call: Callable[[float], None]) -> None:
        self._deadlines.add(when, call)

    def peer_cut(self, why: str, _connection_id: str) -> None:
        self.cut.append(why)

    def protocol_broken(self, connection_id: str, error: ProtocolError) -> None:
        self.journal.protocol_broken(connection_id, error, self.options.max_message_size)

    def transport_ending(self, transport: Ending) -> None:
        if transport not in self.ending:
            self.ending.append(transport)

    def transport_gone(self, transport: Ending) -> None:
        self.gone.append(transport)
        if transport in self.ending:
            self.ending.remove(transport)

    def transport_left(self, transport: Transport) -> tuple[float, int, int] | None:
        self.left.append(transport)
        return None

    def pass_on(self, error: BaseException) -> None:
        self.passed_on.append(error)

    def pass_time(self, seconds: float) -> None:
        """Each deadline is called when it is due."""
        until = self.now + seconds
        while (due := self._deadlines.next_due()) is not None and due <= until:
            self.now = max(self.now, due)
            for call in self._deadlines.take_due(self.now):
                call(self.now)
        self.now = until


def waiting(shard: NotedShard) -> tuple[Transport, NotedSocket]:
    """A transport whose newcomer waits for its room."""
    upgrade = Upgrade("room", "ada", None, Request(b"GET /ws HTTP/1.1", None), ANSWER, shard.now + 10)
    transport = new_transport(shard, upgrade)
    socket = NotedSocket()
    socket.protocol = transport
    transport.connection_made(socket)
    return transport, socket


def opened(shard: NotedShard) -> tuple[Transport, NotedSocket, NotedSession]:
    """One that has answered 101, and that a session has."""
    transport, socket = waiting(shard)
    transport.accept(ANSWER)
    session = transport.session = NotedSession(transport)
    transport.start()
    assert socket.taken() == ANSWER
    return transport, socket, session


def client_close(code: int, reason: str = "") -> bytes:
    """A client's close frame."""
    return unmasked(8, encode_close(code, reason)[2:])


def text(payload: bytes) -> bytes:
    """A client's message."""
    return unmasked(TEXT, payload)


def pong_to(written: bytes) -> bytes:
    """The answer to the ping that a transport wrote first."""
    assert written[:2] == b"\x89\x08"
    return unmasked(PONG, written[2:10])


def state(transport: Transport) -> TransportState:
    """Asked anew each time, for the type checker too."""
    return transport.state
