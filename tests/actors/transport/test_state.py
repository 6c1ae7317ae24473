"""The table of transport states: what can follow what, what cannot, and what an illegal event leaves as it was."""

from __future__ import annotations

import pytest

from tests.support.sessions.transport_shell import NotedShard, opened, waiting
from wspulse.actors.transport.state import (
    TRANSITIONS,
    TransportEffect,
    TransportEvent,
    TransportState,
    transition,
)
from wspulse.actors.transport.transfer.movable import Movable
from wspulse.actors.transport.transport import Transport
from wspulse.actors.values.transitions import IllegalTransitionError

S, E, F = TransportState, TransportEvent, TransportEffect

LEGAL = {
    S.WAITING: {E.ACCEPT: S.OPEN, E.REFUSE: S.GONE, E.HOLD: S.WAITING_HELD, E.STALL: S.WAITING, E.LOSE: S.GONE},
    S.WAITING_HELD: {E.ACCEPT: S.HELD, E.REFUSE: S.GONE, E.STALL: S.WAITING_HELD, E.LOSE: S.GONE},
    S.OPEN: {
        E.HOLD: S.HELD,
        E.YIELD: S.HELD,
        E.STOP: S.STOPPED,
        E.LEAVE: S.GONE,
        E.FINISH: S.CLOSING,
        E.FINISH_LAST: S.LINGERING,
        E.PEER_CLOSE: S.LINGERING,
        E.PEER_END: S.LINGERING,
        E.VIOLATE: S.LINGERING,
        E.STALL: S.LINGERING,
        E.LOSE: S.GONE,
    },
    S.HELD: {
        E.HOLD: S.HELD,
        E.RELEASE: S.OPEN,
        E.STOP: S.STOPPED,
        E.LEAVE: S.GONE,
        E.FINISH: S.CLOSING,
        E.FINISH_LAST: S.LINGERING,
        E.PEER_END: S.LINGERING,
        E.STALL: S.LINGERING,
        E.LOSE: S.GONE,
    },
    S.STOPPED: {
        E.READ_ON: S.HELD,
        E.LEAVE: S.GONE,
        E.FINISH: S.CLOSING,
        E.FINISH_LAST: S.LINGERING,
        E.PEER_END: S.LINGERING,
        E.STALL: S.LINGERING,
        E.LOSE: S.GONE,
    },
    S.CLOSING: {
        E.HEAR: S.LINGERING,
        E.GARBLE: S.LINGERING,
        E.EXPIRE: S.LINGERING,
        E.LOSE: S.GONE,
    },
    S.LINGERING: {E.EXPIRE: S.LINGERING, E.LOSE: S.GONE},
    S.GONE: {},
}


@pytest.mark.parametrize("state", TransportState)
@pytest.mark.parametrize("event", TransportEvent)
def test_transition_leads_where_the_table_of_this_test_says_or_raises(
    state: TransportState, event: TransportEvent
) -> None:
    if event in LEGAL[state]:
        assert transition(state, event)[0] is LEGAL[state][event]
    else:
        with pytest.raises(IllegalTransitionError):
            transition(state, event)


def test_illegal_event_names_state_and_event() -> None:
    with pytest.raises(IllegalTransitionError, match="a transport that is open cannot have: the handler has") as raised:
        transition(S.OPEN, E.RELEASE)
    assert (raised.value.state, raised.value.event) == (S.OPEN, E.RELEASE)


def _waiting(shard: NotedShard) -> Transport:
    return waiting(shard)[0]


def _open(shard: NotedShard) -> Transport:
    return opened(shard)[0]


def _held(shard: NotedShard) -> Transport:
    transport = opened(shard)[0]
    transport.hold()
    return transport


def _closing(shard: NotedShard) -> Transport:
    transport, _, session = opened(shard)
    session.end()
    return transport


def _stopped(shard: NotedShard) -> Transport:
    transport = opened(shard)[0]
    transport.stop_reading()
    return transport


def _gone(shard: NotedShard) -> Transport:
    transport = opened(shard)[0]
    transport.connection_lost(None)
    return transport


_MAKERS = {S.WAITING: _waiting, S.OPEN: _open, S.HELD: _held, S.STOPPED: _stopped, S.CLOSING: _closing, S.GONE: _gone}


@pytest.mark.parametrize(
    ("state", "event"), [(state, event) for state in _MAKERS for event in E if (state, event) not in TRANSITIONS]
)
def test_illegal_event_raises_and_changes_nothing(state: TransportState, event: TransportEvent) -> None:
    shard = NotedShard()
    transport = _MAKERS[state](shard)
    assert transport.state is state
    before = _everything(transport, shard)
    with pytest.raises(IllegalTransitionError):
        transport._apply(event, b"words")
    assert _everything(transport, shard) == before


def _everything(transport: Transport, shard: NotedShard) -> list[object]:
    socket = transport._client
    noted = [getattr(transport, name, None) for name in (*Transport.__slots__, *Movable.__slots__)]
    return [*noted, vars(socket).copy() if socket is not None else None, list(shard.ending), list(shard.gone)]


@pytest.mark.parametrize(("key", "row"), TRANSITIONS.items())
def test_everybody_is_let_go_last_and_just_where_the_socket_is_gone(
    key: tuple[TransportState, TransportEvent], row: tuple[TransportState, tuple[TransportEffect, ...]]
) -> None:
    state, effects = row
    assert effects.count(F.LET_GO) == (state is S.GONE)
    if state is S.GONE:
        assert effects[-1] is F.LET_GO


@pytest.mark.parametrize(("key", "row"), TRANSITIONS.items())
def test_what_is_held_is_read_on_wherever_its_socket_lives_on(
    key: tuple[TransportState, TransportEvent], row: tuple[TransportState, tuple[TransportEffect, ...]]
) -> None:
    state, effects = row
    held = (S.HELD, S.WAITING_HELD, S.STOPPED)
    if key[0] in held and state not in held and not {F.CLOSE, F.ABORT, F.LEAVE, F.BEQUEATH, F.DEPART} & set(effects):
        assert {F.RESUME, F.CATCH_UP} & set(effects)
    assert (F.PAUSE in effects) == (state in held and key[0] not in held)


@pytest.mark.parametrize(("key", "row"), TRANSITIONS.items())
def test_pong_clock_stands_exactly_while_an_open_transport_is_held_for_its_handler_or_stopped(
    key: tuple[TransportState, TransportEvent], row: tuple[TransportState, tuple[TransportEffect, ...]]
) -> None:
    state, effects = row
    assert (F.STOP_CLOCK in effects) == (key[1] in (E.HOLD, E.STOP) and state in (S.HELD, S.STOPPED))
    assert (F.GO_ON in effects) == (key[0] is S.HELD and state is S.OPEN)
