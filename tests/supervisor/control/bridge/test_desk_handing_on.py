"""The bridge's desk, when programs go and when nobody is attached: what they had is handed on, in order."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.supervisor.control.bridge.desk_stage import HEARTBEAT_S, ONE, THREE, TWO, DeskStage
from wspulse.supervisor.control.bridge.instructions import (
    AdoptSoon,
    FrameSent,
    ReportAttached,
    ReportGone,
)


@pytest.fixture
def stage() -> DeskStage:
    return DeskStage()


# Programs that go.


def leaves_by_detaching(stage: DeskStage) -> None:
    stage.detach(ONE)


def leaves_by_silence(stage: DeskStage) -> None:
    stage.desk.heard(TWO, HEARTBEAT_S + 1)
    stage.desk.tick(HEARTBEAT_S + 1)
    stage.carry_out()


def leaves_by_its_connection(stage: DeskStage) -> None:
    stage.desk.gone(stage.peer(ONE))
    stage.carry_out()


@pytest.mark.parametrize("leave", [leaves_by_detaching, leaves_by_silence, leaves_by_its_connection])
def test_connections_of_a_program_that_goes_are_adopted_in_order(
    stage: DeskStage, leave: Callable[[DeskStage], None]
) -> None:
    stage.attach(ONE, window=1)
    stage.notice("connected", "a")
    stage.frame("a", 1)
    stage.notice("connected", "b")
    stage.frame("b", 2)
    stage.notice("disconnected", "b")
    stage.attach(TWO)
    assert stage.told() == ["one connected a"]
    leave(stage)
    assert stage.told() == [
        "two connected a adopted",
        "two message a 1",
        "two connected b",
        "two message b 2",
        "two disconnected b",
    ]


def test_connection_that_is_handed_on_twice_is_adopted_once_by_each(stage: DeskStage) -> None:
    stage.attach(ONE)
    stage.notice("connected", "a")
    stage.attach(TWO, window=100)
    stage.full.add(TWO)
    stage.frame("a", 1)
    stage.detach(ONE)
    assert stage.told() == ["one connected a", "one message a 1"]
    stage.frame("a", 2)
    stage.attach(THREE)
    stage.detach(TWO)
    assert stage.told() == ["three connected a adopted", "three message a 2"]


def test_connections_are_spread_over_those_who_are_left(stage: DeskStage) -> None:
    one = stage.attach(ONE)
    for connection_id in "abcd":
        stage.notice("connected", connection_id, program=one)
    stage.attach(TWO)
    stage.attach(THREE)
    stage.since()
    stage.detach(ONE)
    assert sorted(stage.told()) == [
        "three connected b adopted",
        "three connected d adopted",
        "two connected a adopted",
        "two connected c adopted",
    ]


def test_peer_that_is_gone_in_the_middle_of_its_queue_loses_only_what_it_was_sent(stage: DeskStage) -> None:
    stage.attach(ONE, window=2)
    stage.notice("connected", "a")
    for ticket in (1, 2, 3):
        stage.frame("a", ticket)
    stage.attach(TWO)
    assert stage.told() == ["one connected a", "one message a 1"]
    stage.gone.add(ONE)
    stage.credit(ONE, 2)
    assert FrameSent(2) in stage.done
    assert FrameSent(3) in stage.done
    assert stage.told() == ["two connected a adopted", "two message a 2", "two message a 3"]


def test_all_programs_are_gone_in_one_look_and_nothing_is_lost(stage: DeskStage) -> None:
    one = stage.attach(ONE, window=1)
    stage.attach(TWO, window=1)
    stage.notice("connected", "a", program=one)
    stage.frame("a", 1)
    stage.since()
    stage.desk.tick(HEARTBEAT_S + 1)
    stage.carry_out()
    assert [each.reason for each in stage.since() if isinstance(each, ReportGone)] == ["it is silent"] * 2
    stage.attach(THREE)
    assert stage.told() == ["three connected a adopted", "three message a 1"]


# Nobody is attached.


def test_what_happens_while_nobody_is_attached_waits_for_the_answer_to_attach(stage: DeskStage) -> None:
    stage.notice("connected", "a")
    stage.frame("a", 1)
    stage.notice("connected", "b")
    stage.frame("b", 2)
    stage.notice("disconnected", "b")
    assert stage.since() == []
    number = stage.desk.attach(ONE, "json", 100, HEARTBEAT_S, 0.0)
    stage.carry_out()
    assert stage.since() == [ReportAttached(number), AdoptSoon()], "first it is told that it is attached"
    stage.desk.adopt_orphans()
    stage.carry_out()
    assert stage.told() == [
        "one connected a",
        "one message a 1",
        "one connected b",
        "one message b 2",
        "one disconnected b",
    ]


def test_orphans_that_were_told_of_are_adopted(stage: DeskStage) -> None:
    stage.attach(ONE)
    stage.notice("connected", "a")
    stage.notice("connected", "ended")
    stage.detach(ONE)
    stage.notice("disconnected", "ended")
    stage.since()
    stage.attach(TWO)
    assert stage.told() == ["two connected a adopted", "two connected ended adopted", "two disconnected ended"]
    stage.desk.adopt_orphans()
    stage.carry_out()
    assert stage.told() == []


def test_peer_that_attaches_anew_is_another_program_and_adopts_its_own_connections(stage: DeskStage) -> None:
    first = stage.attach(ONE, window=1)
    stage.notice("connected", "a")
    stage.frame("a", 1)
    stage.since()
    second = stage.attach(ONE, window=5)
    assert second != first
    assert ReportGone(first, "it attached again") in stage.done
    assert stage.told() == ["one connected a adopted", "one message a 1"]


def test_reports_of_an_earlier_attachment_of_a_peer_are_ignored(stage: DeskStage) -> None:
    stage.attach(ONE, window=1)
    stage.notice("connected", "a")
    old = stage.peer(ONE)
    stage.attach(ONE, window=1)
    stage.frame("a", 1)
    stage.since()
    stage.desk.delivered(old)
    stage.desk.held_back(old)
    stage.desk.gone(old)
    stage.carry_out()
    assert stage.since() == []
    stage.credit(ONE, 1)
    assert stage.told() == ["one message a 1"]
