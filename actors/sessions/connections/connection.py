"""`Connection`: what the application sees of a session, on this shard or on another, as one interface.

The connections of this shard are in `local_connection`, those of others in `remote_connection`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from wspulse.actors.values.errors import ConnectionClosedError, SendBufferFullError
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.request import Request

__all__ = ["Connection", "Resumption", "is_own_end"]

_SHORTEST_LOOK_S, _LONGEST_LOOK_S = 0.01, 0.2
"""How often a full buffer of another shard is looked at."""


class Resumption(NamedTuple):
    """What a reconnect brought."""

    request: Request
    """Its own upgrade request."""
    state: dict[str, Any] | None
    """The state that `connect` returned for it; the session's own stays as it is."""


class Connection(ABC):
    """A logical WebSocket connection; with a resume window it outlives the socket that carries it.

    For one that lives on another shard, as returned by `get_connections`, the values of `rooms`, `state`, `subprotocol`,
    `suspended`, `queued` and `latency_s` are a snapshot; its methods reach the session wherever it is.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def id(self) -> str:
        """The connection id that `connect` returned, or the random UUID that it was given."""

    @property
    @abstractmethod
    def room_id(self) -> str:
        """The room that the first `connect` returned; a resume never changes it."""

    @property
    @abstractmethod
    def rooms(self) -> tuple[str, ...]:
        """All rooms that the connection is in: `room_id` first, then the others in the order in which it joined them; in
        on_disconnect, those that it was in at the end."""

    @property
    @abstractmethod
    def request(self) -> Request:
        """The upgrade request that created the session. Raises RuntimeError on a connection of another shard."""

    @property
    def resumed_with(self) -> Resumption | None:
        """What the last reconnect brought, such as a fresh token or a new role; None before the first. Raises RuntimeError on a
        connection of another shard."""
        return None

    @property
    @abstractmethod
    def state(self) -> dict[str, Any]:
        """A dict for the application. On a connection of another shard it is a read-only snapshot of what msgpack can encode."""

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the client's last upgrade chose; None if there is none."""
        return None

    @property
    def suspended(self) -> bool:
        """Whether the session is waiting for its client to come back."""
        return False

    @property
    def queued(self) -> int:
        """How many frames wait to be sent to the client."""
        return 0

    @property
    def latency_s(self) -> float | None:
        """How long the client took to answer the last ping that it answered, in seconds; None if it has answered none, and
        under an ASGI server, which sends its own pings."""
        return None

    @property
    @abstractmethod
    def closed(self) -> bool:
        """Whether the session has ended; for a connection of another shard, as far as this object knows."""

    @abstractmethod
    async def send(self, frame: Frame) -> None:
        """Queue a frame for the client, in the order of the calls.

        It returns when the frame is queued, not when it has arrived. While the session is suspended the frame waits, and the
        oldest one is dropped if the buffer is full. Raises ConnectionClosedError, SendBufferFullError (the session is
        connected and the client does not read), what the codec raises, and ShardUnavailableError if another shard does not
        answer within 5 s.
        """

    @abstractmethod
    def send_nowait(self, frame: Frame) -> None:
        """`send` for sync code. Raises RuntimeError on a connection of another shard."""

    async def send_wait(self, frame: Frame) -> None:
        """Like `send`, but if the buffer is full because the client does not read, wait instead of raising SendBufferFullError.
        Calls that wait at the same time are sent in no particular order. The wait may last until the session ends; bound it
        with `asyncio.timeout`, after which the frame is not sent."""
        look_s = _SHORTEST_LOOK_S
        while True:
            try:
                await self.send(frame)
                return
            except SendBufferFullError:
                await asyncio.sleep(look_s)
            look_s = min(2 * look_s, _LONGEST_LOOK_S)

    async def call(self, frame: Frame, timeout_s: float = 5.0) -> Frame:
        """Ask the client: send `frame` with an id of its own, and return the frame that comes back with that id.

        No handler sees the answer, and it overtakes frames that wait for a handler, so a handler may call its own client. A
        suspension in between does not end the call: the answer may arrive after the client has come back. `timeout_s` is in
        seconds, above 0 and at most a day. If the call is cancelled, its answer is dropped, as is one that arrives late or
        twice.

        Raises TimeoutError; ConnectionClosedError if the session has ended or ends meanwhile; ReplyError if the answer's event
        is that of `frame` followed by ".error"; what `send` raises; ShardUnavailableError if the connection moves to another
        process and its client has not answered within `--handover-timeout` by then; RuntimeError with the raw codec, whose
        frames have no ids.
        """
        raise RuntimeError(f"wspulse: connection {self.id}: `call` is not available here")

    @abstractmethod
    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the session: what is queued is sent, then a close frame with `code` and `reason`. Bypasses the resume window;
        idempotent.

        A page sees both, so it can tell "logged in elsewhere" (4001, say) from "banned" (4003). The code must be 1000, 1001,
        1008, 1011 to 1014, or one of your own from 3000 to 4999; the reason may have at most 123 bytes in UTF-8; anything else
        raises ValueError. The client of a suspended session is not told.

        Returns when the session is no longer in the table; its on_disconnect (with None) may still be running.
        """

    @abstractmethod
    async def join(self, room_id: str) -> None:
        """Join a further room, besides `room_id` and those joined before, until it leaves or its session ends; a resume keeps
        it.

        When this returns, every broadcast to the room that is issued from then on, by anyone on any shard, reaches the
        connection; one that was issued before may. Joining a room again does nothing. A suspended session may join too. Raises
        TypeError or ValueError for an invalid room id (at most 256 bytes in UTF-8), ValueError for more than
        `max_rooms_per_connection` (128) rooms besides the first, ConnectionClosedError, and ShardUnavailableError if the bus,
        or the session's shard, does not answer within 5 s: then it has not joined. If a `leave` of the same room comes in
        between, this returns, and the room has been left.
        """

    @abstractmethod
    async def leave(self, room_id: str) -> None:
        """Leave a room: when this returns, nothing that is issued from then on arrives, and what is on its way may be missing;
        only what already waits for a client that does not read is still sent.

        Does nothing for a room that the connection is not in, or if the session has ended. Raises TypeError, ValueError for
        `room_id`, which cannot be left, and ShardUnavailableError if another shard does not answer within 5 s.
        """

    @abstractmethod
    async def wait_closed(self) -> None:
        """Wait, without a deadline, until the session or the shard that holds it has ended."""

    def __repr__(self) -> str:
        return f"<Connection {self.id!r} in {self.room_id!r}{', closed' if self.closed else ''}>"


def is_own_end(error: BaseException, connection: Connection) -> bool:
    """Whether what a callback of `connection` raised says only that its own session has ended meanwhile, which is nobody's fault:
    clients leave while they are answered. A group of such errors, as of tasks that all sent, says the same."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_own_end(each, connection) for each in error.exceptions)
    return isinstance(error, ConnectionClosedError) and error.connection_id == connection.id and connection.closed
