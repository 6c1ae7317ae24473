"""How much a peer may send, when it is read again, and when it has had enough patience: decided by a time that is given."""

from __future__ import annotations

import pytest

from wspulse.actors.transport.throttling.throttle import Throttle


def sent(throttle: Throttle, frames: int, now: float) -> int:
    """How many of so many messages are handled at this moment."""
    for handled in range(frames):
        if not throttle.may_handle(now):
            return handled
        throttle.handled(now)
    return frames


def test_peer_has_a_seconds_worth_of_frames_at_once_and_then_so_many_per_second() -> None:
    throttle = Throttle(10, 0, 100.0)
    assert sent(throttle, 50, 100.0) == 10
    assert throttle.hold_s(100.0) == pytest.approx(0.1)
    assert sent(throttle, 50, 100.5) == 5
    assert sent(throttle, 50, 130.0) == 10, "no more than a second's worth is saved"


def test_bytes_are_owed_and_the_peer_is_held_up_until_they_are_paid() -> None:
    throttle = Throttle(0, 1000, 100.0)
    throttle.read(1000, 100.0)
    assert throttle.hold_s(100.0) == 0
    throttle.read(500, 100.0)
    assert throttle.hold_s(100.0) == pytest.approx(0.5)
    assert throttle.hold_s(100.5) == 0


def test_peer_that_has_used_all_and_sends_nothing_is_not_held_up() -> None:
    throttle = Throttle(10, 0, 100.0)
    assert sent(throttle, 10, 100.0) == 10
    assert throttle.hold_s(100.0) == 0


@pytest.mark.parametrize(("per_second", "is_cut"), [(9, False), (12, True)])
def test_only_a_peer_that_is_over_its_limit_for_ten_seconds_exhausts_the_patience(
    per_second: int, is_cut: bool
) -> None:
    throttle, now, waiting = Throttle(10, 0, 0.0), 0.0, 0
    held_until, exhausted_at = 0.0, None
    for tick in range(60 * per_second):
        now = max(now, tick / per_second)
        waiting += 1
        if now < held_until:
            continue
        if throttle.is_exhausted(now) and held_until:
            exhausted_at = now
            break
        waiting -= sent(throttle, waiting, now)
        hold_s = throttle.hold_s(now)
        held_until = now + hold_s if hold_s else 0.0
    assert (exhausted_at is not None) is is_cut
    if exhausted_at is not None:
        assert 14 <= exhausted_at <= 16, "it had a second's worth to use up, which lasts five, and ten of patience"


def test_peer_that_was_calm_for_a_second_begins_anew() -> None:
    throttle = Throttle(10, 0, 0.0)
    for second in range(0, 60, 3):
        now = float(second)
        assert sent(throttle, 11, now) == 10
        assert throttle.hold_s(now) > 0
        assert not throttle.is_exhausted(now + 0.1)
        assert sent(throttle, 1, now + 0.1) == 1


def test_nobody_is_held_up_beyond_the_end_of_the_patience() -> None:
    throttle = Throttle(0, 10, 0.0)
    throttle.read(100_000, 0.0)
    assert throttle.hold_s(0.0) == 10
    assert throttle.is_exhausted(10.0)


def test_peer_is_held_up_for_a_moment_where_its_patience_ended_before_anybody_looked() -> None:
    throttle, now = Throttle(10, 0, 0.0), 0.0
    while now < 10.05:
        sent(throttle, 50, now)
        assert throttle.hold_s(now) > 0, "else it would be read on for ever, and nobody would look again"
        now += 0.11
    assert throttle.is_exhausted(now)
