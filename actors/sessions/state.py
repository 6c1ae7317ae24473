"""The states of a session, as one table.

A **session** is the logical connection; a **transport** is the socket that carries it now. A session is *connected* while
it has a transport, *suspended* while it waits inside its resume window for the next one, and *closed* for good. Every
change of state is a row of `TRANSITIONS`; what is not in the table cannot happen, and an attempt raises and changes nothing.
Each change of state raises the session's *epoch*, so that a timer or a transport of an earlier time knows that it is stale.

The session carries out the effects in the order of the row. This module knows no sockets, loops or clocks.
"""

from __future__ import annotations

from functools import partial

from wspulse.actors.values.transitions import Named, Transitions, row_of

__all__ = ["ENDINGS", "ORDERS", "TRANSITIONS", "Effect", "SessionEvent", "SessionState", "transition"]


class SessionState(Named):
    CONNECTED = "connected"
    SUSPENDED = "suspended"
    CLOSED = "closed"


class SessionEvent(Named):
    """What happens to a session."""

    LOSE = "transport lost, session ends with it"
    DROP = "transport lost, session waits for the next"
    REPLACE = "a newer transport takes over a live one"
    TAKE_OVER = "its own client's newer transport takes over a live one, where a lost one would have ended it"
    YIELD = "its client is back on another host, where it goes on"
    FOLLOW = "its own client is on another host, where it goes on, and a lost transport would have ended it"
    RESUME = "a newer transport ends the wait"
    EXPIRE = "the resume window ends"
    CLOSE = "connection.close()"
    KICK = "server.kick()"
    DUPLICATE = "another connection of the same id"
    SERVER_CLOSE = "the server closes"


ENDINGS = {
    SessionEvent.EXPIRE: "expired",
    SessionEvent.CLOSE: "closed",
    SessionEvent.KICK: "kicked",
    SessionEvent.DUPLICATE: "duplicate",
    SessionEvent.SERVER_CLOSE: "server_closed",
}
"""What telemetry calls an end; of a lost transport its error says more."""

ORDERS = frozenset({SessionEvent.CLOSE, SessionEvent.KICK, SessionEvent.SERVER_CLOSE})
"""With which the application ends a session, out of one of its handlers perhaps."""


class Effect(Named):
    """What the session then does."""

    DETACH = "let go of the transport"
    START_WINDOW = "note when the resume window ends"
    ATTACH = "take the new transport and replay what is buffered"
    END = "leave the shard's table and the room; on_disconnect"
    MARK = "mark among what waits for handlers that another transport brings what comes"
    TELL_DROP = "on_transport_drop"
    TELL_RESTORE = "on_transport_restore"


_CONNECTED, _SUSPENDED, _CLOSED = SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.CLOSED

TRANSITIONS: Transitions[SessionState, SessionEvent, Effect] = {
    (_CONNECTED, SessionEvent.LOSE): (_CLOSED, (Effect.DETACH, Effect.END)),
    (_CONNECTED, SessionEvent.DROP): (_SUSPENDED, (Effect.DETACH, Effect.START_WINDOW, Effect.TELL_DROP)),
    (_CONNECTED, SessionEvent.REPLACE): (
        _CONNECTED,
        (Effect.DETACH, Effect.TELL_DROP, Effect.ATTACH, Effect.TELL_RESTORE),
    ),
    (_CONNECTED, SessionEvent.TAKE_OVER): (_CONNECTED, (Effect.DETACH, Effect.MARK, Effect.ATTACH)),
    (_CONNECTED, SessionEvent.YIELD): (_SUSPENDED, (Effect.DETACH, Effect.START_WINDOW, Effect.TELL_DROP)),
    (_CONNECTED, SessionEvent.FOLLOW): (_SUSPENDED, (Effect.DETACH, Effect.MARK)),
    (_CONNECTED, SessionEvent.CLOSE): (_CLOSED, (Effect.DETACH, Effect.END)),
    (_CONNECTED, SessionEvent.KICK): (_CLOSED, (Effect.DETACH, Effect.END)),
    (_CONNECTED, SessionEvent.DUPLICATE): (_CLOSED, (Effect.DETACH, Effect.END)),
    (_CONNECTED, SessionEvent.SERVER_CLOSE): (_CLOSED, (Effect.DETACH, Effect.END)),
    (_SUSPENDED, SessionEvent.RESUME): (_CONNECTED, (Effect.ATTACH, Effect.TELL_RESTORE)),
    (_SUSPENDED, SessionEvent.TAKE_OVER): (_CONNECTED, (Effect.ATTACH,)),
    (_SUSPENDED, SessionEvent.EXPIRE): (_CLOSED, (Effect.END,)),
    (_SUSPENDED, SessionEvent.CLOSE): (_CLOSED, (Effect.END,)),
    (_SUSPENDED, SessionEvent.KICK): (_CLOSED, (Effect.END,)),
    (_SUSPENDED, SessionEvent.DUPLICATE): (_CLOSED, (Effect.END,)),
    (_SUSPENDED, SessionEvent.SERVER_CLOSE): (_CLOSED, (Effect.END,)),
}


transition = partial(row_of, TRANSITIONS, "session")
"""(state, event) → the next state and what to do. Raises IllegalTransitionError where the table has no row."""
