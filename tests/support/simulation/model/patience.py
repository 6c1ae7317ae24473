"""What patience a peer is owed in a simulated history: with its answer to a ping, and with its end.

Part of the `Model`; times are those of the shard's clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.support.simulation.loop import SimLoop
from tests.support.simulation.model.frames import CLOSED, FrameModel
from wspulse.actors.transport.state import TransportState

if TYPE_CHECKING:
    from tests.support.simulation.outside.peer import SimPeer
    from wspulse.actors.values.options.server_options import ServerOptions

__all__ = ["AT_ONCE", "CLOSES", "EPSILON_S", "FAR_BYTES", "KICKS", "PatienceModel"]

EPSILON_S = 1e-6

KICKS = ((1000, "kicked"), (4003, "banned"))
CLOSES = ((1000, ""), (4001, "logged in elsewhere"), (1013, ""))
"""Codes and reasons with which the application ends sessions."""

AT_ONCE = frozenset({"kicked", "banned", "duplicate connection id", "replaced", "keepalive timeout", "internal error"})
"""Reasons of those who are to go without delay."""

FAR_BYTES = 24
"""With so much before it, a ping has not reached a simulated peer, whose kernel holds little."""


class PatienceModel(FrameModel):
    """See the module."""

    def __init__(self, loop: SimLoop, options: ServerOptions) -> None:
        super().__init__(loop, options.send_buffer_size)
        self.options = options
        self.clock: Callable[[], float] = loop.time
        """The shard's: seconds in which it could serve."""
        self.settled_at = 0.0
        """The loop stood still, and nobody may be judged before this time of its own."""

    @property
    def now(self) -> float:
        return self.clock()

    def is_behind(self, peer: SimPeer) -> bool:
        """Whether the handler of this peer's session is."""
        inbox = self._inbox_of(peer)
        return inbox is not None and bool(inbox.behind)

    def is_busy(self, peer: SimPeer) -> bool:
        """Whether a callback of this peer's session runs or waits."""
        inbox = self._inbox_of(peer)
        return inbox is not None and bool(inbox.busy)

    def _inbox_of(self, peer: SimPeer) -> Any:
        session = peer.session
        if session is None or session.state is CLOSED or not hasattr(session, "real"):
            return None
        # One that has left a process, and is not in its place in another, has none.
        return getattr(session.real, "inbox", None)

    def patience_until(self, peer: SimPeer) -> float:
        """A peer that was told to go, and has not taken everything, may be cut off from then on."""
        assert peer.ended_at is not None
        assert peer.expected_close is not None
        write_wait_s = self.options.write_wait
        if peer.expected_close[1] in AT_ONCE and peer.was_behind_at_close:
            stall_s = 0.5
        elif peer.was_blocked_at_close:
            stall_s = write_wait_s
        else:
            stall_s = 1.0 if peer.broken_delivered else 3.0
        moved_at = max(peer.ended_at, peer.socket.taken_at)
        return min(moved_at + stall_s, peer.ended_at + write_wait_s)

    def pinged(self, peer: SimPeer, payload: bytes) -> None:
        now = self.now
        # One that was due while the peer took nothing comes late, and the next one all the same in time.
        if now < peer.next_ping - EPSILON_S and not peer.was_paused:
            self.fail(f"{peer}: a ping before {peer.next_ping}")
        peer.next_ping = now + self.options.ping_period
        if peer.answered == payload:
            pass  # The answer was read, and waits behind messages.
        elif peer.ping is None:
            peer.ping = payload
            peer.first_pinged_at = peer.pinged_at = now
        elif peer.ping != payload:
            self.fail(f"{peer}: a ping with {payload!r}, and {peer.ping!r} has no answer")

    def is_silent(self, peer: SimPeer) -> bool:
        """Whether a ping has had no answer for long enough, and nothing of it is our doing or on its way."""
        options, socket, now = self.options, peer.socket, self.now
        silent_s = now - peer.pinged_at
        if peer.ping is None or silent_s < options.pong_wait - EPSILON_S or peer.stands_since is not None:
            return False
        if peer.outgoing and not peer.reset and silent_s < 2 * options.pong_wait - EPSILON_S:
            return False
        return socket.kernel_bytes < FAR_BYTES or now >= socket.taken_at + options.write_wait - EPSILON_S

    def is_left_behind(self, peer: SimPeer) -> bool:
        """Whether it has ended its stream, and much is left that it may take before its socket is closed."""
        is_left = peer.transport.state is TransportState.LINGERING and peer.close_written is None
        return peer.eof_delivered and is_left and peer.socket.kernel_bytes >= FAR_BYTES
