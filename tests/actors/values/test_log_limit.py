"""What of a peer's doing is said to others: so much of its text, and so many lines in ten seconds."""

from __future__ import annotations

from wspulse.actors.values.log_limit import LogLimit, shortened


def test_lines_over_the_burst_are_left_out_and_counted() -> None:
    limit = LogLimit(burst=3)
    assert [limit.admit(10.0 + step) for step in range(6)] == [0, 0, 0, None, None, None]
    assert limit.admit(19.9) is None
    assert limit.admit(20.0) == 4


def test_count_of_left_out_lines_is_told_once() -> None:
    limit = LogLimit(burst=1)
    assert [limit.admit(5.0), limit.admit(9.9), limit.admit(10.0), limit.admit(20.0)] == [0, None, 1, 0]


def test_each_ten_seconds_have_their_own_burst() -> None:
    limit = LogLimit(burst=2)
    assert [limit.admit(tens * 10 + 0.5) for tens in range(4) for _ in range(2)] == [0] * 8


def test_text_over_200_characters_is_cut_and_says_so() -> None:
    assert shortened("a" * 200) == "a" * 200
    assert shortened("ä" * 201) == "ä" * 200 + "…"
