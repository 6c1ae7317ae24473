"""What must be true of a simulated shard between steps, while nothing happens, and when all is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tests.support.simulation.model.calls import MORE_FRAMES
from tests.support.simulation.model.frames import CLOSED, CONNECTED, SUSPENDED, SessionModel
from tests.support.simulation.model.limits import check_limit
from tests.support.simulation.model.patience import AT_ONCE, FAR_BYTES
from wspulse.actors.sessions.inbox import Callback

if TYPE_CHECKING:
    from tests.support.simulation.model.model import Model
    from tests.support.simulation.outside.app import SimApp
    from tests.support.simulation.outside.peer import SimPeer
    from wspulse.actors.sessions.shard import Shard


class Joining(Protocol):
    """A bus, of one process or of several."""

    @property
    def busy(self) -> bool: ...

    def is_joining(self, room_id: str) -> bool: ...


__all__ = [
    "check_endings",
    "check_idle",
    "check_newcomers",
    "check_nothing_left",
    "check_records",
    "check_table",
    "check_turn",
]

CLOSE_WAIT_S = 3.0
"""contract §3: how long the peer's answer to a close frame is awaited."""

INBOUND_LIMIT_FRAMES = 16
"""doc/inside/internals.md: while so many frames wait for a handler, the socket is not read."""

_LOOK_S = 0.25
"""Between two looks at a peer that has not taken its last words."""

_SLACK_S = 0.05
"""A few of the shard's ticks, which are 10 ms apart."""


def check_table(model: Model, shard: Shard) -> None:
    """The shard's sessions are those of the model, in the same states and on the same transports."""
    live = model.live
    sessions = shard.sessions
    if len(live) != len(sessions):
        model.fail(f"the shard has {sorted(sessions)}, the model {sorted(live)}")
        return
    limit = 2 * model.limit_frames
    for connection_id, session in live.items():
        real = sessions.get(connection_id)
        if real is not session.real or real.state is not session.state:
            model.fail(f"{session}: {session.state} for the model, {real and real.state} in the shard")
            return
        transport = session.peer.transport if session.state is CONNECTED else None
        if real.transport is not transport:
            model.fail(f"{session}: has {real.transport}, should have that of {session.peer}")
        if real.queued_frames > limit:
            model.fail(f"{session}: {real.queued_frames} frames are queued")


def check_records(model: Model, shard: Shard, room_id: str) -> None:
    """get_connections: every session of the room, suspended ones included."""
    found = {(record.id, record.state) for record in shard.records(room_id)}
    room = model.room(room_id)
    wanted, possible = set(), set()
    for session in model.live.values():
        membership = session.memberships.get(room)
        if membership is not None and (membership.is_member or membership.joining):
            possible.add((session.id, session.state.value))
            if membership.is_member:
                wanted.add((session.id, session.state.value))
    if not wanted <= found <= possible:
        model.fail(f"room {room_id} has {found}, should have {wanted}")


def check_idle(model: Model, late_until: float) -> None:
    """The loop has nothing to do now. `late_until`: when the clock last jumped past timers."""
    window_over = model.now - _SLACK_S
    has_messages = "on_message" in model.callbacks
    model.check_handlers(late_until)
    for session in model.sessions:
        state = session.state
        if session.is_between:
            continue
        running = model.running(session)
        if running is None and session.expected:
            model.fail(f"{session}: {session.expected} does not run")
        if state is CLOSED:
            continue
        peer = session.peer
        if state is SUSPENDED:
            if max(session.deadline + session.stood_s, late_until) < window_over:
                model.fail(f"{session}: its window ended at {session.deadline}")
        elif not peer.socket.closing:
            _check_connected(model, session, peer, late_until)
            if session.exact is not None:
                _check_exact(model, session, peer, late_until)
                if running is None and has_messages and session.halted_at is None:
                    session.exact.check_handled("nothing runs", session.real.inbox.received)  # type: ignore[attr-defined]
            elif (
                running is None
                and has_messages
                and peer.handled < peer.messages_delivered
                and session.halted_at is None
                and not peer.is_held_up
            ):
                model.fail(f"{session}: message {peer.handled + 1} of {peer.messages_delivered} does not run")
            _check_reading(model, session, peer)
            if model.options.max_frames_per_second:
                check_limit(model, session, peer, late_until)
        queued = session.real.queued_frames
        if session.exact is not None and queued <= model.limit_frames:
            queued = max(0, queued - session.exact.replays)
        if queued > model.limit_frames:
            model.fail(f"{session}: {queued} frames are queued for a limit of {model.limit_frames}")
        if not session.real.dropped_frames:
            must, may = model.unwritten(session)
            if not must <= queued <= must + may:
                model.fail(f"{session}: {queued} frames are queued, should be {must} to {must + may}")


def _check_exact(model: Model, session: SessionModel, peer: SimPeer, late_until: float) -> None:
    """All that was read and may be taken is counted, and told."""
    exact, taken = session.exact, session.real.inbox.received  # type: ignore[attr-defined]
    assert exact is not None
    log = session.real.log  # type: ignore[attr-defined]
    # What stands in a room's backlog is cut to the bounds when it is taken over.
    if (log.frames > model.limit_frames and not log.follows) or log.first < log.acknowledged:
        model.fail(f"{session}: {log.frames} frames are held from {log.first} on, {log.acknowledged} are acknowledged")
    if peer.socket.paused:
        return
    if exact.begun_by is not peer:
        model.fail(f"{session}: {peer} has no first frame")
    elif not peer.held and taken != exact.counted + peer.counted_delivered:
        model.fail(f"{session}: {taken} are taken, of {exact.counted} before and {peer.counted_delivered} of {peer}")
    exact.check_told(peer, taken, late_until, model.options.ping_period)


def _check_reading(model: Model, session: SessionModel, peer: SimPeer) -> None:
    waiting = session.real.inbox._mailbox or ()
    held = peer.held
    if peer.socket.reading is held and not peer.eof_delivered:
        model.fail(f"{session}: {peer} is {'' if peer.socket.reading else 'not '}read, and held is {held}")
    if not held and (peer.broken_delivered or peer.close_delivered is not None):
        model.fail(f"{session}: {peer} has ended and nobody noticed")
    if held:
        if session.halted_at is None and len(waiting) <= INBOUND_LIMIT_FRAMES // 2 and not peer.is_held_up:
            model.fail(f"{session}: {len(waiting)} entries wait, and {peer} is not read")
    elif sum(not isinstance(item, Callback) for item in waiting) >= INBOUND_LIMIT_FRAMES + (
        MORE_FRAMES if session.real.inbox.asked else 0
    ):
        model.fail(f"{session}: {len(waiting)} entries wait, and {peer} is read")


def _check_connected(model: Model, session: SessionModel, peer: SimPeer, late_until: float) -> None:
    now = model.now
    options = model.options
    socket = peer.socket
    if peer.held:
        peer.was_held = True
        peer.note_standing(stands=True)
    if not socket.paused:
        model.look_at_rest(session)
        if peer.pinged and not peer.was_held:
            model.fail(f"{session}: a ping of {peer} was not answered")
    elif max(socket.progress_at, late_until) + options.write_wait * 1.125 + _SLACK_S < now:
        model.fail(f"{session}: a write has made no progress since {socket.progress_at}")
    if not socket.paused and max(peer.next_ping, late_until) + _SLACK_S < now:
        model.fail(f"{session}: no ping by {peer.next_ping}")
    if peer.ping is not None and not peer.held and not socket.paused:
        silent_at = peer.pinged_at + options.pong_wait
        if peer.was_held or peer.was_paused:
            # While its clock stands it is looked at once a ping, and the next look may be as far away when that goes on.
            silent_at = max(silent_at, peer.read_on_at) + options.ping_period
        if peer.outgoing:
            silent_at += options.pong_wait + _LOOK_S
        # Until then what it had sent might have held the answer.
        silent_at = max(silent_at, peer.read_at + _LOOK_S)
        if socket.kernel_bytes >= FAR_BYTES or socket.far_until >= peer.first_pinged_at:
            silent_at = max(silent_at, socket.taken_at + options.pong_wait) + options.write_wait + _LOOK_S
        if max(silent_at, late_until) + _SLACK_S < now:
            model.fail(
                f"{session}: no answer of {peer}: {peer.state_of_ping()}, {socket.reading=}, {peer.held=}, {now=}"
            )
    is_told = peer.eof_delivered and not socket.eof_is_due
    if is_told and max(peer.eof_at + CLOSE_WAIT_S, late_until) + _SLACK_S < now:
        model.fail(f"{session}: {peer} has ended its stream at {peer.eof_at}, and its socket is open")
    if peer.eof_delivered and not session.real.inbox.busy and not peer.is_held_up:
        model.fail(f"{session}: {peer} has ended its stream, nothing is due to it, and its socket is open")
    if session.raised_by is peer and session.active is None:
        model.fail(f"{session}: its handler raised and {peer} lives")


def check_turn(model: Model, peer: SimPeer) -> None:
    """It is read: all that was read of it before is handled, or waits for the handler."""
    session = peer.session
    if (
        session is None
        or session.state is not CONNECTED
        or session.peer is not peer
        or "on_message" not in model.callbacks
        or session.exact is not None
        or session.halted_at is not None
        or session.landed_turn >= model.loop.turns - 1
    ):
        return
    waiting = session.real.inbox._mailbox or ()
    given = peer.handled + sum(
        model.senders[int(item[0].payload)] is peer for item in waiting if not isinstance(item, Callback)
    )
    if peer.early_messages <= given < peer.messages_delivered:
        model.fail(f"{peer}: read on, and {peer.messages_delivered - given} messages that were read are not handled")


def check_endings(model: Model, peers: list[SimPeer], late_until: float) -> None:
    """A transport that was let go is gone soon."""
    now = model.now
    most_s = model.options.write_wait + CLOSE_WAIT_S + _LOOK_S + _SLACK_S
    for peer in peers:
        ended_at = peer.ended_at
        if ended_at is None or peer.socket.closed:
            continue
        if max(ended_at, late_until) + most_s < now:
            model.fail(f"{peer}: let go at {ended_at} and still there")
        elif (
            peer.expected_close is not None
            and peer.expected_close[1] in AT_ONCE
            and peer.was_behind_at_close
            and peer.socket.kernel_bytes
            and max(ended_at, peer.socket.taken_at, late_until) + 2 * 0.5 + _LOOK_S + _SLACK_S < now
        ):
            model.fail(f"{peer}: told to go at {ended_at}, takes nothing, and is still there")


def check_newcomers(model: Model, peers: list[SimPeer], bus: Joining | None, late_until: float) -> None:
    """Who waits for an answer waits for its rooms, and not longer than the handshake may take; who has joined one, has all that
    was issued since."""
    if bus is None or not bus.busy:
        for session in model.live.values():
            for membership in session.memberships.values():
                newest = membership.room.published - 1
                if (
                    membership.is_member
                    and newest >= membership.must_from
                    and newest >= membership.room.upto(session.seat)
                ):
                    model.fail(f"{session}: broadcast {newest} of {membership.room.id} never came to its shard")
    for peer in peers:
        socket = peer.socket
        if socket.closing:
            continue
        if peer.answer == 101:
            if peer.ended_at is not None:
                _check_ending(model, peer)
        elif peer.answer:
            if not socket.unsent_bytes and not peer.saw_end:
                model.fail(f"{peer}: answered {peer.answer}, and it does not see an end")
            if not socket.reading and not peer.eof_delivered:
                model.fail(f"{peer}: answered {peer.answer}, and what it sends is not read")
        elif bus is None or not any(map(bus.is_joining, (peer.room_id, *peer.rooms))):
            model.fail(f"{peer}: its room is joined, and it has no answer")
        elif max(peer.answer_by, late_until) + _SLACK_S < model.now:
            model.fail(f"{peer}: no answer by {peer.answer_by}")


def _check_ending(model: Model, peer: SimPeer) -> None:
    """A close frame was written and the socket is not closed: it is read until the peer's comes."""
    socket = peer.socket
    if not socket.reading and not peer.eof_delivered:
        model.fail(f"{peer}: its close frame is not read")
    if peer.close_written is not None and peer.close_written[0] == 1002:
        if not socket.unsent_bytes and not peer.saw_end:
            model.fail(f"{peer}: broke the protocol, and it does not see an end")
    elif not peer.broken_delivered and peer.close_delivered is not None and not socket.eof_written:
        model.fail(f"{peer}: both close frames are there, and the socket is open")


def check_nothing_left(model: Model, shard: Shard, app: SimApp, peers: list[SimPeer]) -> None:
    """The server has closed and time has passed."""
    left = {
        name: value
        for name, value in (
            ("sessions", shard.sessions),
            ("rooms", shard.rooms),
            ("newcomers", shard.admission.newcomers),
            ("newcomers' further rooms", shard.admission._further),
            ("finishing", shard.finishing),
            ("unfinished", shard.unfinished),
            ("ending transports", shard._ending),
            ("tasks", shard.working),
            ("dirty", shard._dirty),
            ("waits for quiet", shard._quiet),
            ("deadlines", shard._ticker),
            ("calls", model.calls.waiting),
        )
        if value
    }
    if left:
        model.fail(f"left behind: {left}")
    for session in model.sessions:
        if session.state is not CLOSED or session.expected or session.active:
            model.fail(f"{session}: {session.state} at the end, {session.active}, {session.expected} still to come")
    for peer in peers:
        if not peer.socket.closed:
            model.fail(f"{peer}: its socket is still open")
        if not peer.answer and not peer.socket.lost:
            model.fail(f"{peer}: never answered")
    for task in app.tasks:
        if not task.done():
            model.fail(f"{task.get_coro()}: still waits")
        elif not task.cancelled() and task.exception() is not None:
            model.fail(f"{task.get_coro()}: {task.exception()!r}")
