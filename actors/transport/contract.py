"""What a transport needs of those around it: the session that it carries, and the shard that it belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any, Protocol, TypeVar

from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.transport.writing import Writing
from wspulse.actors.values.close_code import CloseRow
from wspulse.actors.values.errors import ProtocolError
from wspulse.actors.values.metrics import Metrics
from wspulse.actors.values.options.server_options import ServerOptions

__all__ = ["Admitting", "Carried", "Ending", "EndingShard", "Receiving", "TransportShard"]

T_contra = TypeVar("T_contra", contravariant=True)
"""The transport: a parameter, so that this file need not import it."""


class Receiving(Protocol):
    """A session's inbox, as its transport sees it."""

    @property
    def behind(self) -> bool:
        """Whether so many frames wait for the handler that the socket is not to be read."""

    def receive(self, opcode: int, payload: bytes) -> None:
        """Take a message that the peer sent."""

    def receive_rest(self, opcode: int, payload: bytes) -> None:
        """Take a message that had been read, and not yet handed over, when the transport was lost."""


class Carried(Protocol):
    """A session, as its transport sees it. All is called from the loop, nothing from a thread."""

    id: str

    @property
    def inbox(self) -> Receiving: ...

    @property
    def answers_are_due(self) -> bool:
        """Whether a peer that has ended its stream may still be sent something that it asked for."""

    def flush(self) -> None:
        """Write what was sent in this loop turn."""

    def blocked(self) -> None:
        """The kernel takes no more for now."""

    def unblocked(self) -> None:
        """The kernel takes frames again."""

    def transport_lost(
        self, error: BaseException | None, *, said_goodbye: bool = False, for_good: bool = False
    ) -> None:
        """The transport is gone, or says its own farewell now: `for_good` where the peer's close frame said 1000."""

    def transport_failed(self, error: BaseException, close: CloseRow) -> None:
        """End the transport, telling the peer why."""


class Admitting(Protocol[T_contra]):
    """Where newcomers wait for their room."""

    def admit(self, transport: T_contra, upgrade: Upgrade) -> None:
        """Make a valid upgrade a session, or the next transport of one, when its room is joined."""

    def gone(self, transport: T_contra) -> None:
        """A newcomer's socket ended while it waited."""


class Ending(Protocol):
    """A socket whose last words are said, and which has yet to end."""

    def abort(self) -> None:
        """Drop it; it says `transport_gone` from the loop."""


class EndingShard(Protocol):
    """A shard, as what ends in it sees it."""

    closing: bool
    """Whether everything ends."""

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds in which the shard could serve, monotonic."""

    def at(self, when: float, call: Callable[[float], None], /) -> None:
        """Have `call(now)` called at `when` or a little later; it cannot be cancelled."""

    def transport_ending(self, transport: Ending) -> None:
        """Wait for the end of a socket whose last words are said. May be told twice."""

    def transport_gone(self, transport: Ending) -> None:
        """The socket has ended, or is another's."""


class TransportShard(EndingShard, Protocol[T_contra]):
    """A shard, as its transports see it."""

    options: ServerOptions
    metrics: Metrics
    loop: asyncio.AbstractEventLoop
    context: Context
    """In which nothing of a session's is set."""

    writing: Writing
    """Where what is written is kept before."""

    @property
    def transport_types(self) -> Any:
        """What carries its sessions: see `compression.choice`."""

    def transport_left(self, transport: T_contra) -> tuple[float, int, int] | None:
        """A transport's socket goes to another process, which is no end of its connection. Returns what the access log has
        counted of it: since when it is open, in seconds, frames in and out; None where it counts nothing."""

    def peer_cut(self, why: str, connection_id: str) -> None:
        """A peer was cut off: "stalled", it took nothing for `write_wait`; "silent", it left a ping unanswered; "closing", it was
        told to go and did not take what it was told."""

    def protocol_broken(self, connection_id: str, error: ProtocolError) -> None:
        """A peer is cut off since it broke the protocol, or sent too much."""

    @property
    def admission(self) -> Admitting[T_contra]: ...
