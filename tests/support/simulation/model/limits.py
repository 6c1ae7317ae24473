"""What a simulated peer may send in a second: no more of it is given to its session, and it is held up for nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wspulse.actors.sessions.inbox import Callback

if TYPE_CHECKING:
    from tests.support.simulation.model.frames import SessionModel
    from tests.support.simulation.model.model import Model
    from tests.support.simulation.outside.peer import SimPeer

__all__ = ["check_limit"]

_LEAST_FRAME_BYTES = 6

_SLACK_S = 0.05


def check_limit(model: Model, session: SessionModel, peer: SimPeer, late_until: float) -> None:
    """The loop has nothing to do now, and the peer has a session."""
    per_s = model.options.max_frames_per_second
    given = _given(model, session, peer)
    # A second's worth at once, wherever the session has come, be it back.
    most = per_s * (session.landings + max(model.now, late_until) - peer.accepted_at) + 1
    if given > most:
        model.fail(f"{session}: {given} messages of {peer} were taken, and {most:g} may be")
    if not peer.is_held_up:
        peer.held_up = None
        return
    if peer._read_bytes < _LEAST_FRAME_BYTES * per_s:
        model.fail(f"{session}: {peer} is held up, and has sent no more than it may")
    taken_bytes = peer._read_bytes - peer.transport._parser.leftover_bytes
    if peer.held_up is None or peer.held_up[1] != taken_bytes or session.halted_at is not None:
        peer.held_up = (model.now, taken_bytes)
    elif max(peer.held_up[0], late_until) + 1 / per_s + _SLACK_S < model.now:
        model.fail(f"{session}: {peer} is held up since {peer.held_up[0]}")


def _given(model: Model, session: SessionModel, peer: SimPeer) -> int:
    """How many of its messages its session has been given."""
    if session.exact is not None or "on_message" not in model.callbacks:
        return 0
    waiting = session.real.inbox._mailbox or ()
    unhandled = sum(model.senders[int(item[0].payload)] is peer for item in waiting if not isinstance(item, Callback))
    return peer.handled + unhandled
