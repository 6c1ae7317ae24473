"""`Connection`: what the application sees of a session, on this shard or on another, as one interface.

The connections of this shard are in `local_connection`, those of others in `remote_connection`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from wspulse.actors.values.errors import ConnectionClosedError
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.request import Request

__all__ = ["Connection", "is_own_end"]


class Connection(ABC):
    """A logical WebSocket connection; with a resume window it outlives the socket that carries it. (contract.md §3, §4)"""

    __slots__ = ()

    @property
    @abstractmethod
    def id(self) -> str:
        """The connection id that `connect` returned, or the UUID that was made up."""

    @property
    @abstractmethod
    def room_id(self) -> str:
        """The room that the first `connect` returned; a resume never changes it."""

    @property
    @abstractmethod
    def request(self) -> Request:
        """The upgrade request that created the session. Raises RuntimeError on a connection of another shard."""

    @property
    @abstractmethod
    def state(self) -> dict[str, Any]:
        """A dict for the application. Raises RuntimeError on a connection of another shard."""

    @property
    @abstractmethod
    def closed(self) -> bool:
        """Whether the session has ended; for a connection of another shard, as far as this object knows."""

    @abstractmethod
    async def send(self, frame: Frame) -> None:
        """Queue a frame for the peer, in the order of the calls.

        It returns when the frame is queued, not when it has arrived. While the session is suspended the frame waits, and
        the oldest one is dropped when the buffer is full. Raises ConnectionClosedError, SendBufferFullError (connected,
        and the peer does not read), what the codec raises, and ShardUnavailableError for another shard that does not
        answer within 5 s.
        """

    @abstractmethod
    def send_nowait(self, frame: Frame) -> None:
        """`send` for sync code. Raises RuntimeError on a connection of another shard."""

    @abstractmethod
    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the session: what is queued is sent, then a close frame with `code` and `reason`. Bypasses the resume window;
        idempotent.

        A page sees both, so that it can tell "logged in elsewhere" (4001, say) from "banned" (4003). The code is 1000, 1001,
        1008, 1011 to 1014, or your own from 3000 to 4999; the reason has at most 123 bytes in UTF-8; ValueError otherwise. A
        session that waits for its client ends without telling it.

        Returns when the session is out of the table; its on_disconnect (with None) may still be running.
        """

    @abstractmethod
    async def wait_closed(self) -> None:
        """Wait, without a deadline, until the session has ended, or the shard that held it."""

    def __repr__(self) -> str:
        return f"<Connection {self.id!r} in {self.room_id!r}{', closed' if self.closed else ''}>"


def is_own_end(error: BaseException, connection: Connection) -> bool:
    """Whether what a callback of `connection` raised says only that its own session has ended meanwhile, which is nobody's fault:
    clients leave while they are answered (contract.md §3). A group of such errors, as of tasks that all sent, says the same."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_own_end(each, connection) for each in error.exceptions)
    return isinstance(error, ConnectionClosedError) and error.connection_id == connection.id and connection.closed
