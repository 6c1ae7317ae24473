"""`bounded`: uvicorn's protocol class for HTTP, with our limits on the heads of its requests (contract §2).

Made once per worker by `HttpApplication`, for uvicorn's two classes: of httptools, which tells when a head begins and ends,
and of h11, which is asked what it has. An object of it has one connection, with all requests on it. Bodies are the
application's: they may be as slow and as long as they like. What comes ahead of the answers before it is not read without
end. Nothing here reads HTTP but the end of a head.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from wspulse.actors.transport.client import shut_down
from wspulse.actors.transport.limits import AHEAD_BYTES
from wspulse.actors.wire.answer import HTTPAnswer, rejection
from wspulse.actors.wire.head import MAX_HEAD_BYTES, MAX_HEADERS
from wspulse.actors.wire.peer import Peer

__all__ = ["HeadBounds", "bounded"]


_PIECE_BYTES = 8 * 1024
"""What httptools' parser is fed with at once. uvicorn makes an object of 5 KB of each request in it, before its turn comes: of
one read of 256 KB, thousands."""


class HeadBounds(NamedTuple):
    """What holds for each head besides its size."""

    timeout_s: float
    """From its first byte to its last."""
    refuse: Callable[[asyncio.Transport, HTTPAnswer], None]
    """Takes a socket over, to have its client told no."""


def bounded(protocol_class: type[Any], bounds: HeadBounds) -> type[Any]:
    """The class for connections with bounded heads. Raises TypeError for one that is neither of the two."""
    if hasattr(protocol_class, "on_headers_complete"):
        kind: type[_Heads] = _ToldHeads
    elif hasattr(protocol_class, "handle_events"):
        kind = _AskedHeads
    else:
        raise TypeError(f"wspulse: http_app: {protocol_class.__name__} is not a known protocol class")
    return type(f"Bounded{protocol_class.__name__}", (kind, protocol_class), {"bounds": bounds})


class _Heads(asyncio.Protocol):
    """What both have in common. uvicorn's class, which comes behind it, has the other attributes."""

    bounds: ClassVar[HeadBounds]
    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    cycle: Any
    """uvicorn's state of the newest request whose head is complete; None before the first."""
    flow: Any
    """uvicorn's, of this connection's reading and writing."""
    _unset_keepalive_if_required: Callable[[], None]

    peer: Peer | None = None
    """The client's address, if it is not the one of the socket."""
    _is_deaf = False
    _timer: asyncio.TimerHandle | None = None
    """Of a head that is under way; or, once the client has ended its side, of its answer."""

    def first_received(self, data: bytes, left_s: float) -> None:
        """What came before the connection was uvicorn's, and how much of the first head's time is left."""
        self.data_received(data)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self.loop.call_later(left_s, self._late)

    def eof_received(self) -> bool:
        """A client that has ended its side behind its request still reads the answer. Of one that has begun we can't know: a
        stream without end would go on for a client that has gone."""
        cycle = self.cycle
        if cycle is None or cycle.more_body or cycle.response_started:
            return False
        cycle.keep_alive = False
        self._stop_timer()
        self._timer = self.loop.call_later(self.bounds.timeout_s, self._give_up)
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timer()
        if exc is None:
            shut_down(self.transport)
        super().connection_lost(exc)  # type: ignore[arg-type]

    def send_400_response(self, text: str) -> None:
        """uvicorn cannot read what came."""
        self._refuse(HTTPAnswer(400, text))

    def handle_websocket_upgrade(self, *arguments: Any) -> None:
        """uvicorn gives the socket away, to which an answer before this one may yet be written."""
        if self._is_answering():
            self._refuse(HTTPAnswer(400, "an earlier request is still being answered"))
        else:
            super().handle_websocket_upgrade(*arguments)  # type: ignore[misc]
            following = self.transport.get_protocol()
            if (behind := self._behind_upgrade()) and following is not self and isinstance(following, asyncio.Protocol):
                # uvicorn forgets it: the first frames of a client that does not wait for its answer.
                following.data_received(behind)

    @abstractmethod
    def _behind_upgrade(self) -> bytes:
        """What the parser has of what came behind a head that asks for a WebSocket."""

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _watch(self, is_under_way: bool) -> None:
        """After a read: a head that is complete in one has no timer."""
        if not is_under_way:
            self._stop_timer()
        elif self._timer is None and not self._is_deaf:
            self._timer = self.loop.call_later(self.bounds.timeout_s, self._late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self.flow.read_paused:
            # The rest may be here: it is uvicorn that does not read on, since requests before this one are not answered.
            self._watch(is_under_way=True)
            return
        self._refuse(rejection(408, "request timeout"))

    def _give_up(self) -> None:
        self._timer = None
        if self.transport.get_write_buffer_size():
            self._timer = self.loop.call_later(self.bounds.timeout_s, self._give_up)
        else:
            self.transport.close()

    def _refuse(self, answer: HTTPAnswer) -> None:
        """Read no more, and say why, unless the answer to an earlier request is on its way: that is the last one then."""
        if self._is_deaf:
            return
        self._is_deaf = True
        self._stop_timer()
        cycle, transport = self.cycle, self.transport
        if not self._is_answering():
            self._unset_keepalive_if_required()
            # For uvicorn it is lost: it forgets it, and the application hears of it.
            self.connection_lost(ConnectionAbortedError())
            self.bounds.refuse(transport, answer)
        elif cycle.more_body:
            # The application waits for a body that can't be read.
            transport.abort()
        else:
            cycle.keep_alive = False
            if not transport.is_closing():
                transport.pause_reading()


class _HeadRefusedError(Exception):
    """Out of a callback of the parser, to have it stop."""


class _ToldHeads(_Heads):
    """With httptools' parser, which reads heads of any size and calls what begins with `on_`."""

    parser: Any
    headers: list[tuple[bytes, bytes]]
    scope: dict[str, Any] | None
    """uvicorn makes another one where a head begins."""
    url: bytes

    pipeline: deque[Any]
    """Requests that wait for the answers before theirs."""

    _answered: Any = None
    """The state of the request that the application answers now."""
    _is_completing = False
    _unfed = b""
    """What has come and waits for that too."""
    _resume_reading: Callable[[], None]
    """uvicorn's own."""
    _read_scope: dict[str, Any] | None = None
    """That of the newest head that is complete."""
    _in_body = False
    _unread_bytes = 0
    """What came since the last end of a head, a message or a piece of a body: of a head, of a chunk's size or of trailers."""
    _most_bytes = 0
    """What a head that ends in this read can have at most."""
    _refusal: HTTPAnswer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.parser = _KeepingParser(self.parser)
        self._resume_reading = self.flow.resume_reading
        self.flow.resume_reading = self._read_on

    def _behind_upgrade(self) -> bytes:
        behind: bytes = self.parser.behind_upgrade
        return behind

    def connection_lost(self, exc: BaseException | None) -> None:
        self._unfed = b""
        self.flow.resume_reading = _do_nothing
        super().connection_lost(exc)
        answered = self._answered
        if answered is not None and not answered.response_complete:
            # uvicorn tells the newest request alone, which may not have begun.
            answered.disconnected = True
            answered.message_event.set()

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        if not self._unfed and not self.pipeline and len(data) <= _PIECE_BYTES:
            self._feed(data)
            return
        self._unfed += data
        self._feed_on()
        if self.pipeline and len(self._unfed) > AHEAD_BYTES:
            self.flow.pause_reading()

    def _feed(self, data: bytes | memoryview) -> None:
        self._most_bytes = self._unread_bytes = self._unread_bytes + len(data)
        super().data_received(data)  # type: ignore[arg-type]
        in_head = self.scope is not self._read_scope
        if self._unread_bytes or in_head or self._timer is not None:
            if self._unread_bytes > MAX_HEAD_BYTES:
                self._refuse(_too_large())
            else:
                # The parser does not count line ends between two requests as a head, yet they keep the connection open.
                self._watch(in_head or (self._unread_bytes > 0 and not self._in_body))

    def _feed_on(self) -> None:
        """Give the parser what has come, as long as uvicorn takes it; the rest is fed when it reads on."""
        data, at = memoryview(self._unfed), 0
        while at < len(data) and not self.pipeline and not self.flow.read_paused and not self._is_deaf:
            piece = data[at : at + _PIECE_BYTES]
            at += len(piece)
            self._feed(piece)
            if self.transport.get_protocol() is not self:
                break
        self._unfed = b""
        if at < len(data) and not self._is_deaf:
            following = self.transport.get_protocol()
            if following is self:
                self._unfed = bytes(data[at:])
            elif isinstance(following, asyncio.Protocol):
                # It has become a WebSocket's.
                following.data_received(bytes(data[at:]))

    def on_response_complete(self) -> None:
        self._answered = self.pipeline[-1][0] if self.pipeline else None
        self._is_completing = True
        super().on_response_complete()  # type: ignore[misc]
        self._is_completing = False

    def _read_on(self) -> None:
        """In the place of uvicorn's, which reads on at each answer, however many requests wait for theirs; where the application
        asks for more it reads some, and so learns of the client's end."""
        if self._is_deaf or (self.pipeline and (self._is_completing or len(self._unfed) > AHEAD_BYTES)):
            return
        if self._unfed and not self.pipeline:
            self.flow.read_paused = False
            self.loop.call_soon(self._feed_rest)
        else:
            self._resume_reading()

    def _feed_rest(self) -> None:
        self._feed_on()
        transport = self.transport
        if not self.flow.read_paused and not self._is_deaf and not transport.is_closing():
            transport.resume_reading()

    def on_headers_complete(self) -> None:
        if len(self.headers) > MAX_HEADERS:
            self._refusal = HTTPAnswer(431, f"request has over {MAX_HEADERS} header fields")
        elif self._most_bytes > MAX_HEAD_BYTES and self._head_bytes() > MAX_HEAD_BYTES:
            self._refusal = _too_large()
        if self._refusal is not None:
            raise _HeadRefusedError
        self._read_scope = self.scope
        self._in_body = True
        self._unread_bytes = 0
        super().on_headers_complete()  # type: ignore[misc]
        if not self.pipeline:
            self._answered = self.cycle

    def on_body(self, body: bytes) -> None:
        self._unread_bytes = 0
        super().on_body(body)  # type: ignore[misc]

    def on_message_complete(self) -> None:
        self._in_body = False
        self._unread_bytes = 0
        super().on_message_complete()  # type: ignore[misc]

    def send_400_response(self, text: str) -> None:
        if self._refusal is not None:
            self._refuse(self._refusal)
        else:
            super().send_400_response(text)

    def _head_bytes(self) -> int:
        """Of a complete head, but for spaces that the parser leaves out."""
        line_bytes = len(self.parser.get_method()) + len(self.url) + len(b"  HTTP/1.1\r\n")
        return line_bytes + sum(len(name) + len(value) + 4 for name, value in self.headers) + len(b"\r\n")


class _KeepingParser:
    """httptools' parser, which says where an upgrade ends by an exception that uvicorn does not look at."""

    __slots__ = ("_parser", "behind_upgrade")

    def __init__(self, parser: Any) -> None:
        self._parser = parser
        self.behind_upgrade = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def feed_data(self, data: bytes | memoryview) -> None:
        try:
            self._parser.feed_data(data)
        except Exception as error:
            if type(error).__name__ == "HttpParserUpgrade":
                self.behind_upgrade = bytes(data[error.args[0] :])
            raise


class _AskedHeads(_Heads):
    """With h11's parser, which keeps what it has not read and bounds chunk sizes and trailers itself."""

    conn: Any

    def _behind_upgrade(self) -> bytes:
        return bytes(self.conn.trailing_data[0])

    def data_received(self, data: bytes) -> None:
        if not self._is_deaf:
            super().data_received(data)

    def handle_events(self) -> None:
        """Also called by uvicorn when an answer is complete and the next request has come before that."""
        parser = self.conn
        if self._is_idle():
            refusal = _look_at(parser.trailing_data[0])
            if refusal is not None:
                self._refuse(refusal)
                return
        super().handle_events()  # type: ignore[misc]
        self._watch(self._is_idle() and bool(parser.trailing_data[0]))

    def _is_idle(self) -> bool:
        """Whether what comes next is a head, or the rest of one."""
        return str(self.conn.their_state) == "IDLE"


def _look_at(data: bytes) -> HTTPAnswer | None:
    """What stands against the head, or the beginning of one, that `data` begins with."""
    ends = [end for line in (b"\n\r\n", b"\n\n") if (end := data.find(line, 0, MAX_HEAD_BYTES)) >= 0]
    if not ends:
        return _too_large() if len(data) >= MAX_HEAD_BYTES else None
    if data.count(b"\n", 0, min(ends)) > MAX_HEADERS:
        return HTTPAnswer(431, f"request has over {MAX_HEADERS} header fields")
    return None


def _too_large() -> HTTPAnswer:
    return HTTPAnswer(431, f"request head is over {MAX_HEAD_BYTES} bytes")


def _do_nothing() -> None:
    pass
