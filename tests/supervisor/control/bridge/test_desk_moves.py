"""The bridge's desk while sessions move from worker to worker: whose they are, and what their workers wait for."""

from __future__ import annotations

import pytest

from tests.supervisor.control.bridge.desk_stage import ONE, TWO, DeskStage
from wspulse.supervisor.control.bridge import desk as desk_module
from wspulse.supervisor.control.bridge.instructions import FrameSent


@pytest.fixture
def stage() -> DeskStage:
    return DeskStage()


def sent(stage: DeskStage) -> list[int]:
    return [each.ticket for each in stage.since() if isinstance(each, FrameSent)]


def test_connection_that_moves_keeps_its_program_which_is_told_nothing(stage: DeskStage) -> None:
    first = stage.attach(ONE)
    stage.attach(TWO)
    stage.notice("connected", "a", shard=0, program=first)
    assert stage.told() == ["one connected a"]
    stage.notice("moved", "a", shard=2, program=first)
    assert stage.told() == []
    stage.frame("a", 1)
    assert stage.told() == ["one message a 1"]


def test_connection_that_has_moved_ends_with_its_worker_and_not_with_the_one_that_it_left(stage: DeskStage) -> None:
    stage.attach(ONE)
    stage.notice("connected", "a", shard=0)
    stage.notice("moved", "a", shard=2)
    stage.since()
    stage.desk.shard_down(0)
    stage.carry_out()
    assert stage.told() == []
    stage.desk.shard_down(2)
    stage.carry_out()
    assert stage.told() == ["one disconnected a"]


def test_connection_that_was_thought_to_be_gone_is_there_again_when_it_turns_out_to_have_moved(
    stage: DeskStage,
) -> None:
    stage.attach(ONE)
    stage.notice("connected", "a", shard=0)
    stage.desk.shard_down(0)
    stage.notice("moved", "a", shard=2)
    stage.frame("a", 1)
    assert stage.told() == ["one connected a", "one disconnected a", "one connected a", "one message a 1"]


def test_worker_that_has_taken_over_hears_when_what_was_left_with_the_desk_is_sent(stage: DeskStage) -> None:
    stage.attach(ONE, window=1)
    stage.notice("connected", "a", shard=0)
    stage.frame("a", 1)
    stage.notice("moved", "a", shard=2)
    assert stage.desk.rest("a", 2)
    stage.carry_out()
    assert sent(stage) == []
    stage.credit(ONE, 1)
    assert sent(stage) == [1, 2]
    assert not stage.desk.rest("a", 3), "nothing is left"


def test_worker_waits_for_the_last_of_what_was_left(stage: DeskStage) -> None:
    stage.attach(ONE, window=1)
    stage.notice("connected", "a", shard=0)
    stage.frame("a", 1)
    stage.frame("a", 2)
    assert stage.desk.rest("a", 3)
    stage.credit(ONE, 1)
    assert sent(stage) == [1]
    stage.credit(ONE, 1)
    assert sent(stage) == [2, 3]


def test_worker_hears_it_from_the_program_that_a_connection_was_handed_on_to(stage: DeskStage) -> None:
    stage.attach(ONE, window=1)
    stage.notice("connected", "a", shard=0)
    stage.frame("a", 1)
    assert stage.desk.rest("a", 2)
    stage.detach(ONE)
    assert sent(stage) == []
    stage.attach(TWO)
    assert sent(stage) == [1, 2]


def test_worker_waits_for_no_connection_that_nobody_knows_or_that_has_said_nothing(stage: DeskStage) -> None:
    stage.notice("connected", "a")
    assert not stage.desk.rest("a", 1)
    assert not stage.desk.rest("b", 2)


def test_frame_that_is_forgotten_is_waited_for_no_longer(stage: DeskStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "MOST_LEFT_BYTES", 0)
    stage.notice("connected", "a")
    stage.frame("a", 1)
    assert stage.desk.rest("a", 2)
    stage.notice("disconnected", "a")
    assert sent(stage) == [1, 2]
