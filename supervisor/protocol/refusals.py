"""What a server refused, as an error of its client: the server's own kind of error, and a ControlError as all that fails here.

Made from answers by `calls` and by the bridge's client. A program may catch `ConnectionNotFoundError`, as inside the server, or
`ControlError` with its `error_code`, whichever it cares for. No I/O.
"""

from __future__ import annotations

from wspulse.actors.values.errors import (
    ConnectionClosedError,
    ConnectionNotFoundError,
    ControlError,
    SendBufferFullError,
    ServerClosedError,
    ShardUnavailableError,
    WspulseError,
)

__all__ = [
    "ConnectionClosedRefusal",
    "ConnectionNotFoundRefusal",
    "SendBufferFullRefusal",
    "ServerClosedRefusal",
    "ShardUnavailableRefusal",
    "refusal",
]


class _Refusal(ControlError):
    """Its text is the server's. The order of the bases matters to none of them: all that they have is set here."""

    def __init__(self, message: str, subject: str) -> None:
        # What a copy or a pickle is made from again.
        WspulseError.__init__(self, message, subject)
        self.message = message
        self.error_code = self.code
        self._know(subject)

    def _know(self, subject: str) -> None:
        """Keep what the server's own error has as a field."""


class _AboutConnection(_Refusal):
    def _know(self, subject: str) -> None:
        self.connection_id = subject


class ConnectionNotFoundRefusal(_AboutConnection, ConnectionNotFoundError):
    """No session has this id."""

    code = ConnectionNotFoundError.code


class ConnectionClosedRefusal(_AboutConnection, ConnectionClosedError):
    """The session has ended."""

    code = ConnectionClosedError.code


class SendBufferFullRefusal(_AboutConnection, SendBufferFullError):
    """The peer reads slower than it is sent to."""

    code = SendBufferFullError.code


class ServerClosedRefusal(_Refusal, ServerClosedError):
    """The server is closed or closing."""

    code = ServerClosedError.code


class ShardUnavailableRefusal(_Refusal, ShardUnavailableError):
    """The owner of an id, or the bus, does not answer."""

    code = ShardUnavailableError.code

    def _know(self, _subject: str) -> None:
        self.reason = self.message.removeprefix("wspulse: ").removeprefix("shard unavailable: ")


_KINDS: dict[str, type[_Refusal]] = {
    kind.code: kind
    for kind in (
        ConnectionNotFoundRefusal,
        ConnectionClosedRefusal,
        SendBufferFullRefusal,
        ServerClosedRefusal,
        ShardUnavailableRefusal,
    )
}


def refusal(error: dict[str, str] | None, subject: str = "") -> ControlError:
    """The error of an answer; `subject` is the connection that the request was about. A code that names no error of the
    server's calls is a plain ControlError."""
    told = error or {}
    message, code = told.get("message", "the request failed"), told.get("code", "internal")
    kind = _KINDS.get(code)
    return ControlError(message, code) if kind is None else kind(message, subject)
