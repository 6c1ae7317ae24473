"""Which companions are up, and what that means for the server."""

from __future__ import annotations

from wspulse.supervisor.process.companions.presence import Presence

AMISS = "no companion is running"


class Stage:
    """A server that notes what it is told."""

    def __init__(self, wanted: int) -> None:
        self.told: list[tuple[str, object]] = []
        self.presence = Presence(
            AMISS,
            lambda reason, is_amiss: self.told.append((reason, is_amiss)),
            lambda: self.told.append(("up", True)),
            lambda reason: self.told.append(("failed", reason)),
        )
        if wanted:
            self.presence.want(wanted)


def test_server_without_companions_waits_for_none() -> None:
    assert Stage(0).presence.are_up


def test_all_have_to_be_up_at_once_before_the_server_is_ready() -> None:
    at = Stage(2)
    seen = [at.presence.are_up]
    for change in (at.presence.up, at.presence.down):
        change(0)
        seen.append(at.presence.are_up)
    at.presence.up(1)
    seen.append(at.presence.are_up)
    at.presence.up(0)
    assert [*seen, at.presence.are_up] == [False, False, False, False, True]
    assert at.told == [("up", True)]
    at.presence.down(0)
    assert at.presence.are_up, "the server stays ready"


def test_one_that_fails_before_all_were_up_fails_the_start_and_later_it_does_not() -> None:
    at = Stage(2)
    at.presence.up(0)
    at.presence.failed("was killed by SIGKILL")
    assert at.told == [("failed", "was killed by SIGKILL")]
    at.presence.up(1)
    at.presence.failed("was killed by SIGKILL")
    assert at.told[1:] == [("up", True)]


def test_server_is_unhealthy_while_none_is_up() -> None:
    at = Stage(2)
    for number in (0, 1):
        at.presence.up(number)
    at.presence.down(0)
    assert at.told[1:] == []
    at.presence.down(1)
    at.presence.down(1)
    assert at.told[1:] == [(AMISS, True)]
    at.presence.up(1)
    at.presence.up(0)
    assert at.told[2:] == [(AMISS, False)]


def test_end_that_was_ordered_is_neither_unhealthy_nor_a_failure() -> None:
    for were_up in (False, True):
        at = Stage(1)
        if were_up:
            at.presence.up(0)
        before = list(at.told)
        at.presence.end()
        at.presence.down(0)
        at.presence.failed("ended with exit code 1")
        at.presence.up(0)
        assert at.told == before
