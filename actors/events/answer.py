"""`Answers`: what goes back to whoever sent a frame: the value that its handler returned, or the error that it raised.

One per event router, which hands it to the chains that it compiles. It sends through the frame's own connection and keeps
nothing but how often it has warned.
"""

from __future__ import annotations

from logging import Logger
from time import monotonic
from typing import Any

from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.values.errors import ReplyError
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.log_limit import LogLimit, shortened

__all__ = ["Answers"]


class Answers:
    """See the module. What sending raises, and the codec, is raised to the caller, as if the handler had sent the answer."""

    __slots__ = ("_limit", "_logger")

    def __init__(self, logger: Logger) -> None:
        self._logger = logger
        self._limit = LogLimit()

    def value(self, connection: Connection, frame: Frame, value: Any) -> None:
        """Answer with a value: same event, same id."""
        self._send(connection, frame, frame.event, value)

    def error(self, connection: Connection, frame: Frame, error: ReplyError) -> None:
        """Answer with an error: the event with ".error" behind it, same id."""
        self._send(connection, frame, f"{frame.event}.error", error.payload)

    def _send(self, connection: Connection, frame: Frame, event: str, payload: Any) -> None:
        if frame.id:
            connection.send_nowait(Frame(event, payload, frame.id))
            return
        suppressed = self._limit.admit(monotonic())
        if suppressed is not None:
            self._logger.warning(
                "a handler answered a frame that has no id; nothing was sent",
                extra={
                    "event": shortened(frame.event),
                    "connection_id": connection.id,
                    "not_logged": suppressed,
                },
            )
