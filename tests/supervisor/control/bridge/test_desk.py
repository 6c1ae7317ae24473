"""The bridge's desk alone: events go in, instructions come out; nothing is sent and no clock runs."""

from __future__ import annotations

import pytest

from tests.supervisor.control.bridge.desk_stage import HEARTBEAT_S, NO_PROGRAM, ONE, THREE, TWO, DeskStage
from wspulse.supervisor.control.bridge import questions
from wspulse.supervisor.control.bridge.instructions import (
    CancelRetry,
    ClearDeadline,
    Deliver,
    FrameSent,
    Ping,
    Pose,
    ReportGone,
    RetrySoon,
    SetDeadline,
    Settle,
)
from wspulse.supervisor.control.bridge.program import AttachedPeer


@pytest.fixture
def stage() -> DeskStage:
    return DeskStage()


# Credit.


def test_program_gets_what_its_window_holds_and_no_more(stage: DeskStage) -> None:
    stage.attach(ONE, window=2)
    stage.notice("connected", "a")
    for ticket in (1, 2, 3):
        assert stage.frame("a", ticket)
    sent = [each for each in stage.since() if isinstance(each, (Deliver, FrameSent))]
    assert [type(each) for each in sent] == [Deliver, Deliver, FrameSent]
    assert sent[-1] == FrameSent(1)
    stage.credit(ONE, 1)
    assert FrameSent(2) in stage.done
    assert stage.told() == ["one message a 2"]


def test_credit_of_a_program_never_exceeds_its_window(stage: DeskStage) -> None:
    stage.attach(ONE, window=2)
    stage.credit(ONE, 2**62)
    stage.notice("connected", "a")
    for ticket in (1, 2, 3):
        stage.frame("a", ticket)
    assert stage.told() == ["one connected a", "one message a 1"]
    stage.credit(ONE, 2**62)
    assert stage.told() == ["one message a 2", "one message a 3"]
    for ticket in (4, 5):
        stage.frame("a", ticket)
    assert stage.told() == [], "three were sent since the window of two was read"


def test_window_that_is_used_up_holds_back_neither_questions_nor_pings(stage: DeskStage) -> None:
    stage.attach(ONE, window=1)
    stage.notice("connected", "a")
    stage.notice("disconnected", "a")
    stage.since()
    stage.ask(1)
    stage.desk.tick(1.0)
    stage.carry_out()
    assert [type(each) for each in stage.since()] == [SetDeadline, Pose, Ping]


# A program that does not take what it was sent.


def test_backlogged_program_is_retried_once_in_a_moment_and_keeps_the_order(stage: DeskStage) -> None:
    stage.attach(ONE)
    stage.since()
    stage.full.add(ONE)
    stage.notice("connected", "a")
    stage.frame("a", 1)
    (retry,) = stage.since()
    assert isinstance(retry, RetrySoon)
    stage.desk.retry(retry.peer)
    stage.carry_out()
    assert stage.since() == [retry], "it is still full"
    stage.full.clear()
    stage.desk.retry(retry.peer)
    stage.carry_out()
    assert stage.told() == ["one connected a", "one message a 1"]


def test_backlogged_program_that_reads_again_is_told_with_the_next_event(stage: DeskStage) -> None:
    stage.attach(ONE)
    stage.full.add(ONE)
    stage.notice("connected", "a")
    stage.full.clear()
    stage.frame("a", 1)
    assert stage.told() == ["one connected a", "one message a 1"]


def test_backlogged_program_that_goes_is_not_retried_any_more(stage: DeskStage) -> None:
    stage.attach(ONE)
    stage.full.add(ONE)
    stage.notice("connected", "a")
    (peer,) = [each.peer for each in stage.since() if isinstance(each, RetrySoon)]
    stage.detach(ONE)
    assert stage.since() == [CancelRetry(peer), ReportGone(peer.number, "it detached")]
    stage.desk.retry(peer)
    stage.desk.held_back(peer)
    stage.carry_out()
    assert stage.since() == []


def test_backlog_of_one_program_does_not_hold_up_another(stage: DeskStage) -> None:
    slow, swift = stage.attach(ONE), stage.attach(TWO)
    stage.full.add(ONE)
    stage.notice("connected", "a", program=slow)
    stage.notice("connected", "b", program=swift)
    stage.frame("b", 1)
    assert stage.told() == ["two connected b", "two message b 1"]


# Who gets a connection.


def test_connection_goes_to_the_program_that_let_it_in_else_to_the_least_loaded(stage: DeskStage) -> None:
    one, two = stage.attach(ONE), stage.attach(TWO)
    stage.notice("connected", "a", program=two)
    stage.notice("connected", "b", program=two)
    stage.notice("connected", "c", program=one + 1000)
    assert stage.told() == ["two connected a", "two connected b", "one connected c"]


def test_open_questions_count_as_load(stage: DeskStage) -> None:
    stage.attach(ONE)
    stage.attach(TWO)
    stage.ask(1)
    stage.notice("connected", "a")
    posed = [each.peer.route for each in stage.done if isinstance(each, Pose)]
    assert posed == [ONE]
    assert stage.told() == ["two connected a"]


def test_connection_that_ends_is_no_load_any_more(stage: DeskStage) -> None:
    one, two = stage.attach(ONE), stage.attach(TWO)
    stage.notice("connected", "a", program=two)
    stage.notice("disconnected", "a")
    stage.notice("connected", "b", program=one)
    stage.notice("connected", "c")
    assert stage.told()[-1] == "two connected c"


def test_connection_that_has_ended_is_no_load_of_the_program_that_is_still_told_of_it(stage: DeskStage) -> None:
    stage.attach(ONE, window=1)
    stage.notice("connected", "a")
    stage.notice("disconnected", "a")
    stage.attach(TWO)
    stage.attach(THREE)
    stage.detach(ONE)
    stage.notice("connected", "b")
    assert stage.told()[1:] == ["two connected a adopted", "two disconnected a", "two connected b"]


def test_question_that_is_answered_is_no_load_any_more(stage: DeskStage) -> None:
    stage.attach(ONE)
    stage.attach(TWO)
    stage.ask(1)
    (number,) = [each.number for each in stage.since() if isinstance(each, Pose)]
    stage.answer(ONE, number, "a")
    stage.notice("connected", "b")
    assert stage.told() == ["one connected b"]


def test_connected_twice_ends_the_first_one(stage: DeskStage) -> None:
    stage.attach(ONE)
    stage.notice("connected", "a")
    stage.notice("connected", "a")
    stage.notice("dropped", "a")
    stage.notice("restored", "a")
    assert stage.told() == [
        "one connected a",
        "one disconnected a",
        "one connected a",
        "one dropped a",
        "one restored a",
    ]


def test_what_happens_to_a_connection_that_nobody_knows_is_left_out(stage: DeskStage) -> None:
    stage.attach(ONE)
    stage.since()
    for kind in ("disconnected", "dropped", "restored"):
        stage.notice(kind, "a")
    assert not stage.frame("a", 1)
    assert stage.since() == []


def test_shard_that_goes_down_ends_its_connections_with_an_error(stage: DeskStage) -> None:
    stage.attach(ONE)
    stage.notice("connected", "a", shard=0)
    stage.notice("connected", "b", shard=1)
    stage.since()
    stage.desk.shard_down(1)
    stage.carry_out()
    (ended,) = stage.since()
    assert isinstance(ended, Deliver)
    assert (ended.op, ended.args["connection"]) == ("disconnected", "b")
    assert ended.args["error"]["type"] == "ShardUnavailableError"


# Signs of life.


def test_program_is_pinged_until_it_is_silent_for_longer_than_it_said(stage: DeskStage) -> None:
    number = stage.attach(ONE, now=100.0)
    peer = AttachedPeer(number, ONE, "json")
    stage.since()
    stage.desk.tick(100.0 + HEARTBEAT_S)
    stage.carry_out()
    assert stage.since() == [Ping(peer)]
    assert stage.desk.heard(ONE, 105.0)
    stage.desk.tick(105.0 + HEARTBEAT_S)
    stage.carry_out()
    assert stage.since() == [Ping(peer)]
    stage.desk.tick(105.0 + HEARTBEAT_S + 0.1)
    stage.carry_out()
    assert stage.since() == [ReportGone(number, "it is silent")]
    assert not stage.desk.heard(ONE, 116.0)


def test_answer_to_a_question_is_a_sign_of_life(stage: DeskStage) -> None:
    stage.attach(ONE, now=0.0)
    stage.ask(1)
    (number,) = [each.number for each in stage.since() if isinstance(each, Pose)]
    stage.answer(ONE, number, "a", now=HEARTBEAT_S)
    stage.desk.tick(HEARTBEAT_S + 1)
    stage.carry_out()
    assert [type(each) for each in stage.since()] == [ClearDeadline, Settle, Ping]


# Questions.


def test_question_is_settled_with_the_programs_answer(stage: DeskStage) -> None:
    program = stage.attach(ONE)
    stage.since()
    stage.ask(7)
    deadline, posed = stage.since()
    assert isinstance(posed, Pose)
    assert deadline == SetDeadline(posed.number)
    stage.answer(ONE, posed.number, "alice")
    identity = {"room": "r", "connection": "alice", "program": program}
    assert stage.since() == [ClearDeadline(posed.number), Settle(7, identity)]


def test_question_without_a_program_is_refused_at_once(stage: DeskStage) -> None:
    stage.ask(7)
    assert stage.since()[-1] == Settle(7, NO_PROGRAM)


def test_question_whose_deadline_passes_is_refused_and_its_late_answer_ignored(stage: DeskStage) -> None:
    stage.attach(ONE)
    stage.ask(7)
    (number,) = [each.number for each in stage.since() if isinstance(each, Pose)]
    stage.desk.deadline_passed(number)
    stage.carry_out()
    answer = {"status": 503, "text": "the program did not answer in time"}
    assert stage.since() == [ClearDeadline(number), Settle(7, answer)]
    stage.answer(ONE, number, "late")
    assert stage.since() == []


def test_open_questions_of_a_program_that_goes_are_put_to_another_whose_answer_counts(stage: DeskStage) -> None:
    stage.attach(ONE)
    stage.ask(7)
    (number,) = [each.number for each in stage.since() if isinstance(each, Pose)]
    two = stage.attach(TWO)
    stage.detach(ONE)
    assert [each.peer.route for each in stage.since() if isinstance(each, Pose)] == [TWO]
    stage.answer(ONE, number, "of nobody")
    stage.attach(ONE)
    stage.answer(ONE, number, "of one that was not asked")
    assert [each for each in stage.since() if isinstance(each, Settle)] == []
    stage.answer(TWO, number, "alice")
    assert stage.since()[-1] == Settle(7, {"room": "r", "connection": "alice", "program": two})


def test_open_questions_of_the_last_program_that_goes_are_refused(stage: DeskStage) -> None:
    stage.attach(ONE)
    stage.ask(7)
    stage.gone.add(ONE)
    stage.desk.tick(1.0)
    stage.carry_out()
    assert stage.since()[-1] == Settle(7, NO_PROGRAM)


def test_question_that_finds_its_program_gone_is_put_to_the_next_one(stage: DeskStage) -> None:
    stage.attach(ONE)
    stage.attach(TWO)
    stage.gone.add(ONE)
    stage.ask(7)
    assert [each.peer.route for each in stage.since() if isinstance(each, Pose)] == [TWO]


def test_questions_beyond_the_limit_are_refused_until_one_is_settled(
    stage: DeskStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "MOST_QUESTIONS", 2)
    stage.attach(ONE)
    stage.ask(1)
    stage.ask(2)
    numbers = [each.number for each in stage.since() if isinstance(each, Pose)]
    stage.ask(3)
    assert stage.since() == [Settle(3, {"status": 503, "text": "too many connections are waiting for an answer"})]
    stage.answer(ONE, numbers[0], "a")
    stage.since()
    stage.ask(4)
    assert [type(each) for each in stage.since()] == [SetDeadline, Pose]
