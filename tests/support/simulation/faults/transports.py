"""Of transports: their clocks, their ends, and peers that take nothing or half close."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.simulation.faults.replacements import Faults, never, nothing
from wspulse.actors.limits.places import Places
from wspulse.actors.sessions.admission import Admission
from wspulse.actors.transport import client as clients
from wspulse.actors.transport import outlet as outlets
from wspulse.actors.transport import transport as transports
from wspulse.actors.transport.compression.compressing import CompressingTransport
from wspulse.actors.transport.outlet import Outlet
from wspulse.actors.transport.patience.heartbeat import Heartbeat
from wspulse.actors.transport.patience.parting import Parting, Patience
from wspulse.actors.transport.patience.write_watch import WriteWatch
from wspulse.actors.transport.refusal import Refusal
from wspulse.actors.transport.state import TRANSITIONS, TransportEffect, TransportEvent, TransportState
from wspulse.actors.transport.throttling.throttle import Throttle
from wspulse.actors.transport.throttling.transport import ThrottledTransport
from wspulse.actors.transport.transport import Transport
from wspulse.actors.values.timing.service_clock import ServiceClock
from wspulse.actors.wire.compression.deflater import Deflater

__all__ = ["FAULTS"]


def _row(
    state: TransportState, event: TransportEvent, following: TransportState, *effects: TransportEffect
) -> tuple[Any, str, Any]:
    """A row of the transport's table in the place of the one that is there."""
    return TRANSITIONS, "", {(state, event): (following, effects)}


def _pause_writing_under_the_clock(transport: Transport) -> None:
    heartbeat, transport._heartbeat = transport._heartbeat, None
    _pause_writing(transport)
    transport._heartbeat = heartbeat


def _ping_if_not_blocked(transport: Transport, payload: bytes) -> None:
    if not transport.blocked:
        _ping(transport, payload)


def _hear_anything(heartbeat: Heartbeat, _pong: bytes) -> None:
    heartbeat._payload = heartbeat._doubt = None


def _beat_anew(heartbeat: Heartbeat, now: float) -> None:
    if now >= heartbeat._next_ping and heartbeat._payload is not None:
        heartbeat._payload = b"%f" % now
    _beat(heartbeat, now)


def _beat_without_settling(clock: ServiceClock) -> bool:
    clock._is_settling = True
    return _clock_beat(clock)


def _buffered_only(client: asyncio.Transport | None) -> int:
    return 0 if client is None else client.get_write_buffer_size()


def _without_patience(parting: Parting, transport: Any, at: Any, now: float, patience: Patience) -> None:
    _part(parting, transport, at, now, Patience(0.1, 0.1, 0.1))


def _end_turn_and_read(transport: Transport) -> None:
    transport.release()


def _compressed_by_size(deflater: Deflater, wire: bytes) -> bytes:
    """`Deflater.compressed` that takes frames for those before when they are as long."""
    if len(wire) != len(deflater._plain):
        deflater._plain, deflater._compressed = wire, deflater._compress(wire)
    return deflater._compressed


def _decide_as_if_open(admission: Admission, transport: Transport) -> None:
    half_closed, transport.half_closed = transport.half_closed, False
    _decide(admission, transport)
    transport.half_closed = half_closed


_pause_writing, _ping, _decide = Transport.pause_writing, Transport.ping, Admission._decide
_beat, _clock_beat, _part = Heartbeat.__call__, ServiceClock.beat, Parting.__init__

_T, _E, _F = TransportState, TransportEvent, TransportEffect

FAULTS: Faults = {
    "connection that has ended keeps its place": ((Places, "leave", never),),
    "peer is given more than it may send": ((Throttle, "may_handle", lambda _throttle, _now: True),),
    "peer that is held up is never read on": ((ThrottledTransport, "_waited", never),),
    "peer that is held up is read on at once": ((ThrottledTransport, "_next_turn", Transport._next_turn),),
    "peer is held up for what it may send": ((Throttle, "may_handle", lambda _throttle, _now: False),),
    "pong clock runs on while nothing is read": (_row(_T.OPEN, _E.HOLD, _T.HELD, _F.PAUSE),),
    "peer that answers no ping is never dropped": ((Transport, "fell_silent", never),),
    "pong clock does not go on when a peer is read again": ((Heartbeat, "go_on", never),),
    "peer that takes nothing is never dropped": ((WriteWatch, "__call__", never),),
    "peer's close frame is awaited for ever": ((Parting, "__call__", never),),
    "refused client that does not go stays for ever": ((Refusal, "_give_up", never),),
    "what a held transport had read is lost when it is replaced": ((Transport, "hand_over_rest", never),),
    "what a held transport had read is lost with it": ((transports, "hand_over", never),),
    "pong clock runs on while nothing is taken": ((Transport, "pause_writing", _pause_writing_under_the_clock),),
    "blocked peer is not pinged": ((Transport, "ping", _ping_if_not_blocked),),
    "pong that answers no ping is a sign of life": ((Heartbeat, "hear", _hear_anything),),
    "peer is judged by what was not read": ((transports, "unread_bytes", nothing),),
    "peer is judged by a ping that it has not got": ((Outlet, "untaken_bytes", property(nothing)),),
    "each ping has a payload of its own": ((Heartbeat, "__call__", _beat_anew),),
    "clock runs on while the loop stands still": ((ServiceClock, "__call__", lambda clock: clock._real()),),
    "what has come while the loop stood still is not waited for": ((ServiceClock, "beat", _beat_without_settling),),
    "peer that takes nothing stays with the kernel": ((clients, "unsent_bytes", _buffered_only),),
    "socket is closed though its peer is far behind": ((clients, "is_behind", nothing),),
    "peer that is far behind has its stream ended, and is lost with it": ((transports, "is_behind", nothing),),
    "peer that is kicked and takes nothing is waited for": ((outlets, "KICK_WAIT_S", 30.0),),
    "peer that takes its last words is cut off": ((Parting, "__init__", _without_patience),),
    "socket is not read on after its turn": ((Transport, "_next_turn", never),),
    "socket that ended its turn is read on before what it had read is handled": (
        (Transport, "_end_turn", _end_turn_and_read),
    ),
    "half-closed peer is lost with its answers": ((Transport, "eof_received", never),),
    "half-closed peer stays when nothing is due": ((Transport, "answers_are_out", never),),
    "frames are taken for others that were compressed before": ((Deflater, "compressed", _compressed_by_size),),
    "what was agreed on is forgotten by whoever is let in": ((CompressingTransport, "accept", Transport.accept),),
    "half-closed newcomer takes the id of a session": ((Admission, "_decide", _decide_as_if_open),),
    "held transport is not read on when it is closed": (_row(_T.HELD, _E.FINISH, _T.CLOSING, _F.SAY, _F.LOOK),),
    "close frame that was read before ours is overlooked": (_row(_T.HELD, _E.FINISH, _T.CLOSING, _F.SAY, _F.RESUME),),
    "socket stays open when both close frames are there": (_row(_T.CLOSING, _E.HEAR, _T.LINGERING),),
    "socket stays open when the peer has closed": (_row(_T.OPEN, _E.PEER_CLOSE, _T.LINGERING, _F.SAY),),
    "peer that broke the protocol sees no end": (_row(_T.OPEN, _E.VIOLATE, _T.LINGERING, _F.SAY),),
    "newcomer whose socket was not read is not read when it is refused": (
        _row(_T.WAITING_HELD, _E.REFUSE, _T.GONE, _F.REFUSE, _F.LET_GO),
    ),
}
