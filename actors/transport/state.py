"""The states of a transport, as one table.

A transport *waits* until its newcomer may join its room; it is *open* while a session has it, and *held* while that session's
handler is so far behind that the socket is not read; it is *stopped* when its session is to move to another process, and then
nobody makes it read but who stopped it; it is *closing* from our close frame until the peer's, and *lingering* when nothing that
still comes is of interest. In the end its socket is *gone*, or, where the upgrade was refused or the session has moved, no longer
its own.

Every change of state is a row of `TRANSITIONS`; what is not in the table cannot happen: an attempt raises, and changes nothing.

The transport carries out the effects in the order of the row. This module knows no sockets, loops or clocks.

WAITING ─ ACCEPT ─▶ OPEN ─ HOLD ─▶ HELD ─ RELEASE ─▶ OPEN
                      ├─ STOP ─▶ STOPPED ─ READ_ON ─▶ HELD, or ─ LEAVE ─▶ GONE
                      ├─ FINISH ─▶ CLOSING ─ HEAR ─▶ LINGERING ─ LOSE ─▶ GONE
                      └─ the peer's close frame, or its fault ─▶ LINGERING
"""

from __future__ import annotations

from functools import partial

from wspulse.actors.values.transitions import Named, Transitions, row_of

__all__ = [
    "CARRYING",
    "TRANSITIONS",
    "TransportEffect",
    "TransportEvent",
    "TransportState",
    "transition",
]


class TransportState(Named):
    WAITING = "waiting"
    """The upgrade is valid, the room is not joined yet; what the peer sends is kept."""
    WAITING_HELD = "waiting, held"
    """The same, and the peer sent so much ahead that its socket is not read."""
    OPEN = "open"
    """The 101 is written, and a session has it."""
    HELD = "held"
    """Open, and the socket is not read: the session's handler is too far behind, or others have their turn first."""
    STOPPED = "stopped"
    """Held, until who stopped it has it read on: its session is to move to another process."""
    CLOSING = "closing"
    """Our close frame is written; the peer's is looked for in what comes."""
    LINGERING = "lingering"
    """The last words are said; what comes is thrown away until the socket ends."""
    GONE = "gone"
    """The socket has ended, or is another's."""


class TransportEvent(Named):
    """What happens to a transport."""

    ACCEPT = "the newcomer's room is joined"
    REFUSE = "the newcomer is refused"
    HOLD = "too much waits for the handler, or for the answer"
    YIELD = "it has had its share of this turn"
    RELEASE = "the handler has caught up, or the next turn has come"
    STOP = "its session has to move"
    READ_ON = "its session stays"
    LEAVE = "its session moves to another process"
    FINISH = "the session ends it"
    FINISH_LAST = "the session ends it, when nothing more can come of the peer"
    PEER_CLOSE = "the peer's close frame"
    PEER_END = "the peer ends its stream, and is behind with ours"
    VIOLATE = "the peer breaks the protocol"
    HEAR = "the peer answers our close frame"
    GARBLE = "what follows our close frame breaks the protocol"
    STALL = "the peer takes nothing for `write_wait`"
    EXPIRE = "the wait for the peer's end is over"
    LOSE = "the socket ends"


class TransportEffect(Named):
    """What the transport then does."""

    ANSWER = "write the 101 and begin the heartbeat"
    REFUSE = "give the socket to a refusal"
    STOP_CLOCK = "stop the pong clock"
    GO_ON = "let the pong clock go on"
    PAUSE = "read no more"
    RESUME = "read on"
    CATCH_UP = "take what was read and is not handled, then read on"
    SAY = "write the last words, and bound the time for them"
    SHUT = "end our side of the stream"
    LOOK = "look for the peer's close frame in what was read"
    CLOSE = "close the socket when everything is written, and the peer is not far behind"
    ABORT = "drop the socket, and have the shard wait for its end"
    DEPART = "give the socket to a departure"
    LEAVE = "tell the admission that nobody waits any more"
    BEQUEATH = "give the session what was read, and tell it how the peer ended"
    LET_GO = "tell the shard, and let go of everybody"


_S, _E, _F = TransportState, TransportEvent, TransportEffect

TRANSITIONS: Transitions[TransportState, TransportEvent, TransportEffect] = {
    (_S.WAITING, _E.ACCEPT): (_S.OPEN, (_F.ANSWER,)),
    (_S.WAITING, _E.HOLD): (_S.WAITING_HELD, (_F.PAUSE,)),
    (_S.WAITING, _E.REFUSE): (_S.GONE, (_F.REFUSE, _F.LET_GO)),
    (_S.WAITING, _E.STALL): (_S.WAITING, (_F.ABORT,)),
    (_S.WAITING, _E.LOSE): (_S.GONE, (_F.LEAVE, _F.LET_GO)),
    (_S.WAITING_HELD, _E.ACCEPT): (_S.HELD, (_F.ANSWER,)),
    (_S.WAITING_HELD, _E.REFUSE): (_S.GONE, (_F.RESUME, _F.REFUSE, _F.LET_GO)),
    (_S.WAITING_HELD, _E.STALL): (_S.WAITING_HELD, (_F.ABORT,)),
    (_S.WAITING_HELD, _E.LOSE): (_S.GONE, (_F.LEAVE, _F.LET_GO)),
    (_S.OPEN, _E.HOLD): (_S.HELD, (_F.STOP_CLOCK, _F.PAUSE)),
    (_S.OPEN, _E.YIELD): (_S.HELD, (_F.PAUSE,)),
    (_S.OPEN, _E.STOP): (_S.STOPPED, (_F.STOP_CLOCK, _F.PAUSE)),
    (_S.OPEN, _E.LEAVE): (_S.GONE, (_F.DEPART, _F.LET_GO)),
    (_S.OPEN, _E.FINISH): (_S.CLOSING, (_F.SAY, _F.LOOK)),
    (_S.OPEN, _E.FINISH_LAST): (_S.LINGERING, (_F.SAY, _F.CLOSE)),
    (_S.OPEN, _E.PEER_CLOSE): (_S.LINGERING, (_F.SAY, _F.CLOSE)),
    (_S.OPEN, _E.PEER_END): (_S.LINGERING, (_F.BEQUEATH, _F.SAY, _F.SHUT)),
    (_S.OPEN, _E.VIOLATE): (_S.LINGERING, (_F.SAY, _F.SHUT)),
    (_S.OPEN, _E.STALL): (_S.LINGERING, (_F.ABORT,)),
    (_S.OPEN, _E.LOSE): (_S.GONE, (_F.BEQUEATH, _F.LET_GO)),
    (_S.HELD, _E.HOLD): (_S.HELD, (_F.STOP_CLOCK,)),
    (_S.HELD, _E.RELEASE): (_S.OPEN, (_F.GO_ON, _F.CATCH_UP)),
    (_S.HELD, _E.STOP): (_S.STOPPED, (_F.STOP_CLOCK,)),
    (_S.HELD, _E.LEAVE): (_S.GONE, (_F.DEPART, _F.LET_GO)),
    (_S.HELD, _E.FINISH): (_S.CLOSING, (_F.SAY, _F.RESUME, _F.LOOK)),
    (_S.HELD, _E.FINISH_LAST): (_S.LINGERING, (_F.SAY, _F.CLOSE)),
    (_S.HELD, _E.PEER_END): (_S.LINGERING, (_F.BEQUEATH, _F.SAY, _F.SHUT)),
    (_S.HELD, _E.STALL): (_S.LINGERING, (_F.ABORT,)),
    (_S.HELD, _E.LOSE): (_S.GONE, (_F.BEQUEATH, _F.LET_GO)),
    (_S.STOPPED, _E.READ_ON): (_S.HELD, ()),
    (_S.STOPPED, _E.LEAVE): (_S.GONE, (_F.DEPART, _F.LET_GO)),
    (_S.STOPPED, _E.FINISH): (_S.CLOSING, (_F.SAY, _F.RESUME, _F.LOOK)),
    (_S.STOPPED, _E.FINISH_LAST): (_S.LINGERING, (_F.SAY, _F.CLOSE)),
    (_S.STOPPED, _E.PEER_END): (_S.LINGERING, (_F.BEQUEATH, _F.SAY, _F.SHUT)),
    (_S.STOPPED, _E.STALL): (_S.LINGERING, (_F.ABORT,)),
    (_S.STOPPED, _E.LOSE): (_S.GONE, (_F.BEQUEATH, _F.LET_GO)),
    (_S.CLOSING, _E.HEAR): (_S.LINGERING, (_F.CLOSE,)),
    (_S.CLOSING, _E.GARBLE): (_S.LINGERING, ()),
    (_S.CLOSING, _E.EXPIRE): (_S.LINGERING, (_F.ABORT,)),
    (_S.CLOSING, _E.LOSE): (_S.GONE, (_F.LET_GO,)),
    (_S.LINGERING, _E.EXPIRE): (_S.LINGERING, (_F.ABORT,)),
    (_S.LINGERING, _E.LOSE): (_S.GONE, (_F.LET_GO,)),
}


CARRYING = frozenset({_S.OPEN, _S.HELD, _S.STOPPED})
"""In which a session has it."""

transition = partial(row_of, TRANSITIONS, "transport")
"""(state, event) → the next state and what to do. Raises IllegalTransitionError where the table has no row."""
