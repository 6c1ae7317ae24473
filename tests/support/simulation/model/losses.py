"""What is known of how transports end, in a simulated history: is this how it went, and what must the peer have been told?

Part of the `Model` (contract §3).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.support.simulation.loop import SimLoop
from tests.support.simulation.model.frames import SessionModel
from tests.support.simulation.model.handlers import HandlerModel
from tests.support.simulation.model.patience import EPSILON_S
from wspulse.actors.values.errors import (
    ConnectionLostError,
    KeepaliveTimeoutError,
    PeerClosedError,
    ProtocolError,
    WriteTimeoutError,
)

if TYPE_CHECKING:
    from tests.support.simulation.outside.peer import SimPeer
    from wspulse.actors.values.options.server_options import ServerOptions

__all__ = ["LossModel"]

_NORMAL_CODES = (0, 1000, 1001)
"""Of a peer's close frame; 0 stands for one without a code."""


class LossModel(HandlerModel):
    """See the module."""

    def __init__(self, loop: SimLoop, options: ServerOptions) -> None:
        super().__init__(loop, options)
        self.losing: SimPeer | None = None
        """Whose connection_lost runs right now."""
        self.bytes_in = self.bytes_out = 0
        """Of WebSocket connections, read from and written to sockets."""
        self.ends = Counter[str]()
        """How many sessions have ended, by the reason that telemetry is to give."""

    def says_goodbye(self, peer: SimPeer, error: BaseException | None) -> bool:
        if peer.client is not None:
            return error is None and peer.close_delivered == 1000
        return error is None and not self.options.suspend_on_clean_close and peer.close_delivered in (0, 1000)

    def look_at_loss(self, model: SessionModel, peer: SimPeer, error: BaseException | None) -> None:
        """Is this how the transport ended, and what must its peer have been told?"""
        losing = self.losing is peer or peer.was_refused_by_loop
        now = self.now
        expected: tuple[int, str | None] | None = None
        allowed = False
        if error is None or isinstance(error, PeerClosedError):
            code = peer.close_delivered
            allowed = code in _NORMAL_CODES if error is None else code == error.close_code
            expected = (code or 0, "")
            peer.owed_messages = peer.messages_delivered
        elif isinstance(error, ProtocolError):
            allowed = peer.broken_delivered
            expected = (error.close_code, None)
        elif (
            isinstance(error, ConnectionLostError)
            and peer.eof_delivered
            and not losing
            and not self.is_left_behind(peer)
        ):
            # It waited for answers, and another connection of its id has come.
            allowed = peer.transport.half_closed
            expected = (1000, "duplicate connection id")
            peer.owed_messages = peer.messages_delivered
        elif isinstance(error, ConnectionLostError):
            allowed = peer.close_delivered is None and not peer.broken_delivered and not peer.socket.aborted
            allowed = allowed and (losing or self.is_left_behind(peer))
            if peer.eof_delivered and not peer.reset and not self.options.resume_window and peer.was_busy_at_eof:
                # It ended its stream, and its answers were due.
                allowed = allowed and (not model.real.inbox.busy or self.now >= peer.eof_at + 3.0 - EPSILON_S)
            peer.owed_messages = peer.messages_delivered
        elif isinstance(error, KeepaliveTimeoutError):
            allowed = self.loop.in_timers and peer.was_silent and self.loop.now >= self.settled_at - EPSILON_S
            expected = (1011, "keepalive timeout")
            peer.owed_messages = peer.messages_delivered
        elif isinstance(error, WriteTimeoutError):
            socket = peer.socket
            allowed = socket.paused and now >= socket.progress_at + self.options.write_wait - EPSILON_S
            peer.owed_messages = peer.messages_delivered
        elif isinstance(error, TimeoutError):
            allowed = model.late_by is peer
            expected = (1011, "internal error")
        elif error is model.raised:
            allowed = model.raised_by is peer
            expected = (1011, "internal error")
        if not allowed:
            self.fail(f"{model}: {peer} ended with {error!r}, which did not happen: {peer.state_of_ping()}")
        if peer is model.raised_by:
            peer.owed_messages = 0
        peer.expected_close = None if losing or self.is_left_behind(peer) else expected
