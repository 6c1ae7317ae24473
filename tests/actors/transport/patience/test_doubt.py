from __future__ import annotations

from wspulse.actors.transport.patience.doubt import Doubt, Verdict

NEAR_BYTES = 60_000
FAR_BYTES = 70_000


def doubt() -> Doubt:
    return Doubt(100.0, pong_wait_s=30.0, write_wait_s=10.0)


def test_peer_of_which_nothing_is_on_its_way_is_to_blame() -> None:
    assert doubt().look(100.0, 0, 0, 5) is Verdict.CONDEMN
    assert doubt().look(100.0, 0, NEAR_BYTES, 5) is Verdict.CONDEMN


def test_bytes_that_were_not_read_are_waited_for_as_long_as_a_pong() -> None:
    one = doubt()
    assert one.look(100.0, 1, 0, 5) is Verdict.WAIT
    assert one.look(129.9, 1, 0, 5) is Verdict.WAIT
    assert one.look(130.1, 1, 0, 5) is Verdict.CONDEMN


def test_peer_that_was_read_and_has_not_answered_is_to_blame() -> None:
    one = doubt()
    assert one.look(100.0, 5, 0, 5) is Verdict.WAIT
    assert one.look(100.1, 0, 0, 5) is Verdict.CONDEMN


def test_ping_far_behind_has_time_while_the_peer_takes_something() -> None:
    one = doubt()
    for second in range(0, 100, 9):
        # What is written meanwhile takes the place of what it took.
        assert one.look(100.0 + second, 0, 4_000_000, second) is Verdict.WAIT


def test_peer_that_takes_nothing_of_what_lies_before_a_ping_is_to_blame_after_write_wait() -> None:
    one = doubt()
    assert one.look(100.0, 0, FAR_BYTES, 5) is Verdict.WAIT
    assert one.look(109.9, 0, FAR_BYTES, 5) is Verdict.WAIT
    assert one.look(110.0, 0, FAR_BYTES, 5) is Verdict.CONDEMN


def test_ping_that_has_come_near_has_its_time_from_then_on() -> None:
    one = doubt()
    assert one.look(100.0, 0, FAR_BYTES, 5) is Verdict.WAIT
    assert one.look(104.0, 0, NEAR_BYTES, 6) is Verdict.BEGIN_ANEW


def test_time_in_which_the_clock_of_pongs_stands_counts_for_nothing() -> None:
    unread, far = doubt(), doubt()
    assert far.look(100.0, 0, FAR_BYTES, 5) is Verdict.WAIT
    for one in (unread, far):
        one.stood(7.0)
    assert unread.look(136.9, 1, 0, 5) is Verdict.WAIT
    assert unread.look(137.1, 1, 0, 5) is Verdict.CONDEMN
    assert far.look(116.9, 0, FAR_BYTES, 5) is Verdict.WAIT
    assert far.look(117.1, 0, FAR_BYTES, 5) is Verdict.CONDEMN
