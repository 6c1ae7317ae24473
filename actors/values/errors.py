"""Every error of the package.

    WspulseError
    ├── ConnectionNotFoundError        no session has this id
    ├── ConnectionClosedError          this session has ended
    ├── SendBufferFullError            the peer reads slower than it is sent to
    ├── DuplicateConnectionIDError     another connection took this id over
    ├── ServerClosedError              the server is closed or closing
    ├── ShardUnavailableError          the owner of an id, or the bus, does not answer
    ├── SessionMovedError              the session is another process's now, which is asked instead
    ├── InTransitError                 the session is between two processes at this moment
    ├── BadRequestError                a request of the control socket makes no sense
    ├── ControlError                   the control socket refused, or does not answer
    └── TransportError                 why a transport ended; what on_disconnect and on_transport_drop report
        ├── PeerClosedError            the peer sent a close frame with an abnormal code
        ├── ProtocolError              the peer broke RFC 6455
        ├── ConnectionLostError        the socket ended without a close frame
        ├── KeepaliveTimeoutError      no pong in time
        └── WriteTimeoutError          the peer took nothing of a write in time
    ConnectRejected                    raised by the application's `connect`; no WspulseError: it answers, it does not fail
    ReplyError                         raised by a handler as its answer, and by the `call` that gets it; no WspulseError either

Errors carry fields and build their text from them. `code` is the name that an error has on the control socket and between
processes; `error_from_code` is the way back. An id of a wrong type is an `id_error`, a TypeError.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from wspulse.actors.values.log_limit import shortened
from wspulse.actors.values.text.headers import Headers, checked_headers

__all__ = [
    "BadRequestError",
    "ConnectRejected",
    "ConnectionClosedError",
    "ConnectionLostError",
    "ConnectionNotFoundError",
    "ControlError",
    "DuplicateConnectionIDError",
    "InTransitError",
    "KeepaliveTimeoutError",
    "PeerClosedError",
    "ProtocolError",
    "ReplyError",
    "SendBufferFullError",
    "ServerClosedError",
    "SessionMovedError",
    "ShardUnavailableError",
    "TransportError",
    "WriteTimeoutError",
    "WspulseError",
    "error_from_code",
    "error_subject",
    "id_error",
    "text_of",
]


class WspulseError(Exception):
    """Base of all errors of wspulse. The text begins with "wspulse: "."""

    code: ClassVar[str] = "internal"


class _AboutConnection(WspulseError):
    """An error about one connection id."""

    phrase: ClassVar[str]

    def __init__(self, connection_id: str) -> None:
        super().__init__(connection_id)
        self.connection_id = connection_id

    def __str__(self) -> str:
        return f"wspulse: {self.phrase}: {self.connection_id}"


class ConnectionNotFoundError(_AboutConnection):
    """No session has this id, on any shard."""

    code = "connection_not_found"
    phrase = "connection not found"


class ConnectionClosedError(_AboutConnection):
    """The session has ended; a later session of the same id is another one."""

    code = "connection_closed"
    phrase = "connection is closed"


class SendBufferFullError(_AboutConnection):
    """The session's send buffer is full of what its peer has not taken (`send_buffer_size` frames, or
    `send_buffer_bytes`); this frame was not queued."""

    code = "send_buffer_full"
    phrase = "send buffer is full"


class DuplicateConnectionIDError(_AboutConnection):
    """What on_disconnect reports for a session whose id was taken over by a newer connection."""

    code = "duplicate_connection_id"
    phrase = "kicked: duplicate connection id"


class ServerClosedError(WspulseError):
    """The server is closed or closing."""

    code = "server_closed"

    def __str__(self) -> str:
        return "wspulse: server is closed"


class ShardUnavailableError(WspulseError):
    """The shard that owns an id, or the bus, did not answer in time."""

    code = "shard_unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"wspulse: shard unavailable: {self.reason}"


class SessionMovedError(WspulseError):
    """The session, or its id, is another process's now: whoever asked asks that one. No user sees it."""

    code = "moved"

    def __init__(self, seat: int) -> None:
        super().__init__(seat)
        self.seat = seat

    def __str__(self) -> str:
        return f"wspulse: the session is at seat {self.seat}"


class InTransitError(WspulseError):
    """The session is between two processes for a few milliseconds. `wait(call)` has `call()` made, in the order of such calls,
    when it is known where it is; then the question is asked anew. No user sees it."""

    def __init__(self, wait: Callable[[Callable[[], None]], None]) -> None:
        super().__init__()
        self.wait = wait


def wrong_thread(instead: str) -> RuntimeError:
    """For a call from a thread other than the server's; `instead` does the same there."""
    return RuntimeError(f"wspulse: this thread is not the server's; call {instead} here")


class BadRequestError(WspulseError):
    """A request of the control socket makes no sense: wrong arguments, a frame that the codec refuses."""

    code = "bad_request"

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"wspulse: bad request: {self.problem}"


class ControlError(WspulseError):
    """A request over the control socket failed. `error_code` is the code of doc/reference/control.md, or "unavailable"."""

    code = "control"

    def __init__(self, message: str, error_code: str = "unavailable") -> None:
        super().__init__(message)
        self.message = message
        self.error_code = error_code

    def __str__(self) -> str:
        return self.message if self.message.startswith("wspulse: ") else f"wspulse: {self.message}"


class TransportError(WspulseError):
    """Why a transport ended."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"wspulse: {self.reason}"


class PeerClosedError(TransportError):
    """The peer sent a close frame whose code is neither 1000, 1001 nor absent."""

    def __init__(self, close_code: int, close_reason: str) -> None:
        super().__init__(f"peer closed with code {close_code}" + (f" ({close_reason})" if close_reason else ""))
        self.close_code = close_code
        self.close_reason = close_reason


class ProtocolError(TransportError):
    """The peer broke RFC 6455, or sent too much. `close_code` is 1002, 1007, 1008 or 1009: what the peer is told; with 1009,
    its message has at least `message_bytes` bytes."""

    def __init__(self, close_code: int, reason: str, message_bytes: int = 0) -> None:
        super().__init__(reason)
        self.close_code = close_code
        self.message_bytes = message_bytes


class ConnectionLostError(TransportError):
    """The socket ended without a close frame. `__cause__` is the operating system's error, if there was one."""

    def __init__(self, reason: str = "connection lost without a close frame") -> None:
        super().__init__(reason)


class KeepaliveTimeoutError(TransportError):
    """No pong came for `pong_wait`."""

    def __init__(self) -> None:
        super().__init__("no pong in time")


class WriteTimeoutError(TransportError):
    """A write made no progress for `write_wait`."""

    def __init__(self) -> None:
        super().__init__("a write made no progress in time")


class ConnectRejected(Exception):
    """Raised by `connect` to refuse an upgrade: the peer gets `status` (default 401), `text` as the body (in one line, cut at 4
    KB) and `headers`, such as WWW-Authenticate.

    Raises TypeError for a status that is not an int, ValueError for one outside 400 … 599, and either for headers that cannot
    be sent.
    """

    def __init__(self, text: str = "", status: int = 401, headers: Headers = ()) -> None:
        if isinstance(status, bool) or not isinstance(status, int):
            raise TypeError(f"wspulse: ConnectRejected: status must be an int, not {type(status).__name__}")
        if not 400 <= status <= 599:
            raise ValueError(f"wspulse: ConnectRejected: status is {status}; allowed: 400 … 599")
        super().__init__(text)
        self.text = str(text)  # many will pass the exception that they caught
        self.status = status
        self.headers = checked_headers(headers, "ConnectRejected")


class ReplyError(Exception):
    """An answer that is an error: a frame with the id of the request, whose event ends in ".error".

    Raised by a handler of an event router, it sends such an answer with `payload`; the connection stays open. Raised by
    `connection.call`, it is the client's answer: `payload` is decoded to plain values (None if there was none), or left as it
    came if it cannot be decoded.
    """

    def __init__(self, payload: Any = None) -> None:
        super().__init__(payload)
        self.payload = payload

    def __str__(self) -> str:
        return f"wspulse: the answer is an error: {shortened(repr(self.payload))}"


def error_from_code(code: str, subject: str) -> WspulseError:
    """The error that `code` names; `subject` is the connection id or the reason that it was built from."""
    match code:
        case ConnectionNotFoundError.code:
            return ConnectionNotFoundError(subject)
        case ConnectionClosedError.code:
            return ConnectionClosedError(subject)
        case SendBufferFullError.code:
            return SendBufferFullError(subject)
        case DuplicateConnectionIDError.code:
            return DuplicateConnectionIDError(subject)
        case ServerClosedError.code:
            return ServerClosedError()
        case ShardUnavailableError.code:
            return ShardUnavailableError(subject)
        case BadRequestError.code:
            return BadRequestError(subject)
        case SessionMovedError.code:
            return SessionMovedError(int(subject))
        case _:
            return WspulseError(f"wspulse: {subject}")


TOLD_CHARACTERS = 4096
"""Of what an error says, to whom it is told elsewhere: an application's may quote whatever it failed at."""


def text_of(error: BaseException) -> str:
    """What an error says of itself, or the first 4,096 characters of it; of one that fails at that, which an application's may,
    that it does not."""
    try:
        return str(error)[:TOLD_CHARACTERS]
    except BaseException:
        return "its text is not available"


def error_subject(error: BaseException) -> str:
    """What `error_from_code` needs to build an equal error elsewhere."""
    match error:
        case _AboutConnection():
            return error.connection_id
        case ShardUnavailableError():
            return error.reason
        case BadRequestError():
            return error.problem
        case SessionMovedError():
            return str(error.seat)
        case WspulseError():
            return str(error).removeprefix("wspulse: ")
        case _:
            return "internal error"


def id_error(kind: str, given: object) -> TypeError:
    """What a call raises for a "room" or "connection" id that is not a str (contract §4): it would reach nobody, since the
    ids of clients are strings."""
    return TypeError(f"wspulse: a {kind} id must be a str, not {type(given).__name__}: {shortened(repr(given))}")
