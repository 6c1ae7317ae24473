"""How long a line waits before it dials again: the formula of doc/reference/protocol.md, with chance pretended."""

from __future__ import annotations

import re
from random import Random
from typing import Any

import pytest

from wspulse.actors.client.delays import Delays, Retry


def lowest() -> float:
    return 0.0


def highest() -> float:
    return 1.0


def test_first_try_after_a_loss_comes_within_a_second_and_later_ones_after_twice_as_long_each_up_to_the_longest() -> (
    None
):
    assert [Delays(Retry(), lowest).next_s()] == [0.0]
    delays = Delays(Retry(), highest)
    assert [delays.next_s() for _ in range(9)] == [1.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]


def test_chance_shortens_a_later_delay_by_half_at_most() -> None:
    delays = Delays(Retry(), lowest)
    assert [delays.next_s() for _ in range(8)] == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0]


def test_clients_that_lost_their_line_together_come_back_spread_out(draw: Random) -> None:
    waits = [Delays(Retry(), draw.random).next_s() or 0.0 for _ in range(2000)]
    tenths = [sum(tenth <= wait * 10 < tenth + 1 for wait in waits) for tenth in range(10)]
    assert min(tenths) > 120
    assert max(tenths) < 280


def test_what_the_server_says_is_the_first_delay_and_shortens_no_later_one() -> None:
    delays = Delays(Retry(), highest)
    assert [delays.next_s(0.03), delays.next_s(0.03), delays.next_s(7.0)] == [0.03, 0.5, 7.0]


def test_count_begins_anew_only_after_five_seconds_of_being_up() -> None:
    delays = Delays(Retry(), highest)
    for _ in range(5):
        delays.next_s()
    delays.was_up(4.99)
    assert delays.next_s() == 8.0
    delays.was_up(5.0)
    assert delays.next_s() == 1.0


def test_slow_tries_wait_for_the_longest_time_from_the_beginning() -> None:
    delays = Delays(Retry(), lowest)
    assert [delays.next_s(is_slow=True), delays.next_s(is_slow=True)] == [0.0, 10.0]


def test_there_are_no_more_tries_than_the_limit_allows() -> None:
    delays = Delays(Retry(limit=2), lowest)
    assert [delays.next_s() is None for _ in range(4)] == [False, False, True, True]
    delays.was_up(60.0)
    assert delays.next_s() == 0.0
    assert Delays(Retry(limit=0), lowest).next_s() is None


def test_ten_thousand_failures_in_a_row_overflow_nothing() -> None:
    delays = Delays(Retry(), highest)
    assert {delays.next_s() for _ in range(10_000)} == {1.0, 0.5, 2.0, 4.0, 8.0, 16.0, 20.0}


@pytest.mark.parametrize(
    ("base_s", "max_s", "limit"),
    [
        (0, 1, None),
        (-1, 1, None),
        (2, 1, None),
        (1, float("inf"), None),
        (float("nan"), 1, None),
        (1, 1, -1),
        (1, 1, 1.5),
    ],
)
def test_retry_that_makes_no_sense_is_refused(base_s: float, max_s: float, limit: int | None) -> None:
    with pytest.raises(ValueError, match=r"^wspulse: retry: "):
        Retry(base_s, max_s, limit)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"base_s": "1"}, "base_s is '1' and max_s 20.0; allowed: 0 < base_s <= max_s"),
        ({"base_s": 0}, "base_s is 0 and"),
        ({"max_s": 0.1}, "max_s 0.1; allowed"),
        ({"max_s": None}, "max_s None; allowed"),
        ({"limit": -1}, "limit must be a whole number of at least 0, or None, not -1"),
        ({"limit": 1.5}, "not 1.5"),
    ],
)
def test_retry_refuses_what_makes_no_sense(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^wspulse: retry: .*{re.escape(said)}"):
        Retry(**values)
