"""What waits at the bridge's desk for programs that take little or nothing: what is told in the end, and what it may cost."""

from __future__ import annotations

import pytest

from tests.supervisor.control.bridge.desk_stage import HEARTBEAT_S, ONE, TWO, DeskStage
from wspulse.actors.mesh.message import BridgeFrame
from wspulse.supervisor.control.bridge.backlog import Backlog
from wspulse.supervisor.control.bridge.instructions import FrameSent, ReportForgotten, ReportGone
from wspulse.supervisor.control.bridge.program import Connection

MANY = 20_000


@pytest.fixture
def stage() -> DeskStage:
    return DeskStage()


def without_credit(stage: DeskStage, *told: str) -> None:
    """One program, told of these connections, that gives no credit any more."""
    stage.attach(ONE, window=max(len(told), 1))
    for connection_id in told or ("first",):
        stage.notice("connected", connection_id)
    stage.since()


def backlog(stage: DeskStage) -> Backlog[Connection]:
    (program,) = stage.desk._programs.values()
    return program.backlog


def come_and_go(stage: DeskStage, connection_id: str, ticket: int = 0) -> None:
    stage.notice("connected", connection_id)
    if ticket:
        stage.frame(connection_id, ticket)
    stage.notice("disconnected", connection_id)


def test_connection_that_came_and_went_untold_is_never_told_of(stage: DeskStage) -> None:
    without_credit(stage)
    come_and_go(stage, "a")
    stage.notice("connected", "b")
    stage.notice("dropped", "b")
    stage.notice("disconnected", "b")
    stage.notice("connected", "c")
    stage.credit(ONE, 100)
    assert stage.told() == ["one connected c"]


def test_many_that_came_and_went_untold_cost_nothing(stage: DeskStage) -> None:
    without_credit(stage)
    for number in range(MANY):
        come_and_go(stage, f"c{number}")
    assert len(backlog(stage)) == 0


def test_connection_that_said_something_before_it_went_is_told_of_in_full(stage: DeskStage) -> None:
    without_credit(stage)
    come_and_go(stage, "a", ticket=1)
    stage.credit(ONE, 1)
    stage.credit(ONE, 1)
    stage.credit(ONE, 1)
    assert stage.told() == ["one connected a", "one message a 1", "one disconnected a"]


def test_connection_that_was_told_of_is_told_to_have_ended(stage: DeskStage) -> None:
    without_credit(stage, "a")
    stage.notice("disconnected", "a")
    stage.notice("connected", "a")
    stage.notice("disconnected", "a")
    stage.credit(ONE, 100)
    assert stage.told() == ["one disconnected a"]


def test_drop_and_return_that_are_both_untold_cancel_each_other(stage: DeskStage) -> None:
    without_credit(stage, "a", "b", "c", "d")
    for _ in range(MANY):
        stage.notice("dropped", "a")
        stage.notice("restored", "a")
    stage.notice("dropped", "b")
    stage.notice("restored", "c")
    stage.notice("dropped", "c")
    stage.notice("dropped", "d")
    stage.frame("d", 1)
    stage.notice("restored", "d")
    assert len(backlog(stage)) == 4
    stage.credit(ONE, 100)
    assert stage.told() == ["one dropped b", "one dropped d", "one message d 1", "one restored d"]


def test_same_holds_while_nobody_is_attached(stage: DeskStage) -> None:
    stage.attach(ONE)
    stage.notice("connected", "a")
    stage.detach(ONE)
    stage.since()
    for _ in range(MANY):
        stage.notice("dropped", "a")
        stage.notice("restored", "a")
    come_and_go(stage, "b")
    assert len(stage.desk._orphaned) == 0
    stage.attach(TWO)
    assert stage.told() == ["two connected a adopted"]


def end_told_ones(stage: DeskStage, count: int) -> None:
    """A program that was told of many connections, which all end."""
    stage.attach(ONE, window=count)
    for number in range(count):
        stage.notice("connected", f"c{number}", shard=1)
    stage.since()
    stage.desk.shard_down(1)
    stage.carry_out()


def pass_time(stage: DeskStage, from_s: int, until_s: int) -> list[ReportGone]:
    """Every second, with a program that answers pings."""
    for now in range(from_s, until_s):
        stage.desk.heard(ONE, float(now))
        stage.desk.tick(float(now))
        stage.carry_out()
    return [each for each in stage.since() if isinstance(each, ReportGone)]


def test_program_that_does_not_take_the_ends_of_many_connections_is_gone_after_30_s(stage: DeskStage) -> None:
    end_told_ones(stage, MANY)
    assert pass_time(stage, 0, 30) == []
    (gone,) = pass_time(stage, 30, 32)
    assert gone.reason == "it does not read its messages"


def test_program_that_catches_up_in_time_stays_however_many_connections_end_at_once(stage: DeskStage) -> None:
    end_told_ones(stage, MANY)
    assert pass_time(stage, 0, 25) == []
    stage.credit(ONE, 2 * MANY)
    assert len(stage.told()) == MANY
    assert pass_time(stage, 25, 60) == []
    stage.credit(ONE, MANY)
    for number in range(MANY):
        stage.notice("connected", f"c{number}", shard=1)
    stage.since()
    stage.desk.shard_down(1)
    assert pass_time(stage, 60, 90) == []


def test_program_that_is_behind_with_few_ends_stays(stage: DeskStage) -> None:
    end_told_ones(stage, 10_000)
    assert pass_time(stage, 0, 60) == []


def test_of_the_ends_that_nobody_is_there_for_the_newest_are_kept(stage: DeskStage) -> None:
    stage.attach(ONE, window=MANY + 1)
    for number in range(MANY):
        stage.notice("connected", f"c{number}")
    stage.notice("connected", "alive")
    stage.detach(ONE)
    stage.since()
    for number in range(MANY):
        stage.notice("disconnected", f"c{number}")
    stage.desk.tick(HEARTBEAT_S)
    stage.carry_out()
    assert [each for each in stage.since() if isinstance(each, ReportForgotten)] == [ReportForgotten(10_000, 0)]
    stage.attach(TWO, window=100_000)
    told = stage.told()
    assert told[:2] == ["two connected alive adopted", "two connected c10000 adopted"]
    assert told[-1] == f"two disconnected c{MANY - 1}"
    assert len(told) == 1 + 2 * 10_000


def say(stage: DeskStage, connection_id: str, size_bytes: int, ticket: int) -> None:
    stage.desk.frame(BridgeFrame(connection_id, "room", "", "", b"1" * size_bytes, "json"), ticket)
    stage.carry_out()


def test_frames_of_clients_that_are_gone_are_kept_up_to_16_mb_the_oldest_are_forgotten(stage: DeskStage) -> None:
    """A client that was never told of is forgotten with its frame; one that was is still told to have ended."""
    without_credit(stage, "told")
    say(stage, "told", 1024 * 1024, 1)
    stage.notice("disconnected", "told")
    for number in range(2, 20):
        stage.notice("connected", f"c{number}")
        say(stage, f"c{number}", 1024 * 1024, number)
        stage.notice("disconnected", f"c{number}")
    done = stage.since()
    # 19 MB came; who waits for the sending of what is forgotten waits no more.
    assert [each.ticket for each in done if isinstance(each, FrameSent)] == [1, 2, 3]
    assert [each for each in done if isinstance(each, ReportForgotten)] == [ReportForgotten(0, 1)] * 3
    stage.credit(ONE, 100)
    for _ in range(100):
        stage.credit(ONE, 1)
    told = [line.split()[1:3] for line in stage.told()]
    assert told[:4] == [["disconnected", "told"], ["connected", "c4"], ["message", "c4"], ["disconnected", "c4"]]
    assert backlog(stage).left_bytes == 0


def test_frame_of_a_client_that_is_there_is_kept_whatever_it_weighs(stage: DeskStage) -> None:
    without_credit(stage, *map(str, range(20)))
    for number in range(20):
        say(stage, str(number), 2 * 1024 * 1024, number)
    assert not any(isinstance(each, FrameSent) for each in stage.since())
    assert len(backlog(stage)) == 20
