"""What a line raises besides the errors that a server's connections raise too.

ConnectionClosedError
├── LineClosedError     the line has ended, and does not come back
└── SessionLostError    the line goes on in another session; whether the call was carried out is unknown
"""

from __future__ import annotations

from wspulse.actors.values.errors import ConnectionClosedError

__all__ = ["LineClosedError", "SessionLostError"]


class LineClosedError(ConnectionClosedError):
    """The line has ended for good. `close_code` and `close_reason` are those of `await line.closed`; `status` is the HTTP
    status with which the server refused, or 0. `__cause__` is the error of the network, if there was one."""

    def __init__(self, connection_id: str, close_code: int, close_reason: str, status: int = 0) -> None:
        super().__init__(connection_id)
        self.close_code = close_code
        self.close_reason = close_reason
        self.status = status

    def __str__(self) -> str:
        return f"wspulse: the line is closed: {self.close_code} {self.close_reason}".rstrip()


class SessionLostError(ConnectionClosedError):
    """The session ended while a call waited for its answer, or `flush` for what was sent; the line goes on in another session."""

    def __str__(self) -> str:
        return "wspulse: the session has ended; whether the server handled what was sent in it is unknown"
