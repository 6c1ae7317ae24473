"""The table of session states: what can follow what, and what cannot."""

from __future__ import annotations

import pytest

from wspulse.actors.sessions.state import (
    TRANSITIONS,
    Effect,
    SessionEvent,
    SessionState,
    transition,
)
from wspulse.actors.values.transitions import IllegalTransitionError

CONNECTED, SUSPENDED, CLOSED = SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.CLOSED

LEGAL = {
    CONNECTED: {
        SessionEvent.LOSE: CLOSED,
        SessionEvent.DROP: SUSPENDED,
        SessionEvent.REPLACE: CONNECTED,
        SessionEvent.TAKE_OVER: CONNECTED,
        SessionEvent.YIELD: SUSPENDED,
        SessionEvent.FOLLOW: SUSPENDED,
        SessionEvent.CLOSE: CLOSED,
        SessionEvent.KICK: CLOSED,
        SessionEvent.DUPLICATE: CLOSED,
        SessionEvent.SERVER_CLOSE: CLOSED,
    },
    SUSPENDED: {
        SessionEvent.RESUME: CONNECTED,
        SessionEvent.TAKE_OVER: CONNECTED,
        SessionEvent.EXPIRE: CLOSED,
        SessionEvent.DUPLICATE: CLOSED,
        SessionEvent.CLOSE: CLOSED,
        SessionEvent.KICK: CLOSED,
        SessionEvent.SERVER_CLOSE: CLOSED,
    },
    CLOSED: {},
}


@pytest.mark.parametrize("state", SessionState)
@pytest.mark.parametrize("event", SessionEvent)
def test_transition_leads_where_the_contract_says_or_raises(state: SessionState, event: SessionEvent) -> None:
    if event in LEGAL[state]:
        assert transition(state, event)[0] is LEGAL[state][event]
    else:
        with pytest.raises(IllegalTransitionError):
            transition(state, event)


def test_illegal_transition_names_state_and_event() -> None:
    with pytest.raises(
        IllegalTransitionError, match="a session that is closed cannot have: the resume window ends"
    ) as raised:
        transition(CLOSED, SessionEvent.EXPIRE)
    assert (raised.value.state, raised.value.event) == (CLOSED, SessionEvent.EXPIRE)


def test_nothing_leaves_the_closed_state() -> None:
    assert not [key for key in TRANSITIONS if key[0] is CLOSED]


@pytest.mark.parametrize(("key", "row"), TRANSITIONS.items())
def test_session_ends_exactly_where_it_becomes_closed(
    key: tuple[SessionState, SessionEvent], row: tuple[SessionState, tuple[Effect, ...]]
) -> None:
    assert row[1].count(Effect.END) == (row[0] is CLOSED)


@pytest.mark.parametrize(("key", "row"), TRANSITIONS.items())
def test_transport_is_let_go_before_anything_else_wherever_there_is_one(
    key: tuple[SessionState, SessionEvent], row: tuple[SessionState, tuple[Effect, ...]]
) -> None:
    effects = row[1]
    assert (Effect.DETACH in effects) == (key[0] is CONNECTED)
    if key[0] is CONNECTED:
        assert effects[0] is Effect.DETACH
    assert (Effect.ATTACH in effects) == (row[0] is CONNECTED)


def test_drop_is_told_before_the_restore_when_a_transport_is_replaced() -> None:
    effects = transition(CONNECTED, SessionEvent.REPLACE)[1]
    assert effects.index(Effect.TELL_DROP) < effects.index(Effect.ATTACH) < effects.index(Effect.TELL_RESTORE)
