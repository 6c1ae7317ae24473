"""`Echoes`: when the bus counts as standing still. Times are in seconds."""

from __future__ import annotations

import pytest

from wspulse.actors.bus.echoes import Echoes


def looks(echoes: Echoes, first: int, last: int) -> list[float | None]:
    """One each second, behind which an echo goes out. What each says."""
    found = []
    for second in range(first, last + 1):
        found.append(echoes.look(float(second)))
        echoes.sent(float(second))
    return found


def test_bus_whose_echoes_come_back_does_not_stand_still() -> None:
    echoes = Echoes(0.0)
    for second in range(100):
        assert echoes.look(second) is None
        assert echoes.returned(echoes.sent(second), second + 0.9) is None
    assert not echoes.is_stalled


def test_bus_stands_still_when_no_echo_has_come_back_for_3_s_and_that_is_said_once() -> None:
    echoes = Echoes(9.0)
    echoes.returned(echoes.sent(9.0), 9.1)
    assert looks(echoes, 10, 20) == [None, None, None, 3.0, *[None] * 7]


def test_bus_is_back_with_the_first_echo_and_stood_still_since_the_first_that_did_not_come() -> None:
    echoes = Echoes(9.0)
    looks(echoes, 10, 22)
    assert echoes.returned(1, 22.5) == 12.5
    assert not echoes.is_stalled
    assert echoes.returned(2, 22.6) is None
    assert looks(echoes, 23, 26) == [None, None, None, pytest.approx(3.4)], "those behind it have stuck again"


def test_echoes_that_were_lost_before_the_subscription_took_effect_are_not_waited_for() -> None:
    echoes = Echoes(0.0)
    echoes.sent(0.0)
    echoes.sent(1.0)
    assert echoes.returned(2, 1.1) is None
    assert [echoes.look(second) for second in range(1, 60)] == [None] * 59


def test_bus_that_brings_what_others_send_is_behind_and_does_not_stand_still() -> None:
    echoes = Echoes(0.0)
    for second in range(30):
        echoes.heard(second)
        assert looks(echoes, second, second) == [None]
    assert looks(echoes, 30, 32) == [None, None, 3.0], "then nothing more came"


def test_what_came_of_others_since_it_was_said_does_not_make_a_stall_shorter() -> None:
    echoes = Echoes(0.0)
    assert looks(echoes, 0, 3)[-1] == 3.0
    echoes.heard(4.0)
    assert echoes.returned(1, 5.0) == 5.0


def test_time_in_which_this_process_stood_still_itself_does_not_count() -> None:
    echoes = Echoes(0.0)
    assert looks(echoes, 0, 2) == [None] * 3
    assert looks(echoes, 62, 62) == [None], "what came meanwhile is not read yet"
    assert looks(echoes, 63, 63) == [3.0], (
        "a bus that is stalled as well is found all the same: 2 s before and 1 s since"
    )
    assert looks(echoes, 123, 124) == [None] * 2
    assert echoes.returned(1, 124.5) == 4.5


def test_nothing_stands_still_before_anything_was_sent() -> None:
    echoes = Echoes(0.0)
    echoes.heard(1.0)
    assert [echoes.look(second) for second in range(60)] == [None] * 60
