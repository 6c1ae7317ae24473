"""The bridge's desk alone: events go in, instructions come out; nothing is sent and no clock runs."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from wspulse.actors.mesh.message import BridgeFrame, BridgeNotice, BridgeQuestion
from wspulse.supervisor.control.bridge import questions
from wspulse.supervisor.control.bridge.desk import BridgeDesk
from wspulse.supervisor.control.bridge.instructions import (
    AdoptSoon,
    CancelRetry,
    ClearDeadline,
    Deliver,
    FrameSent,
    Instruction,
    Ping,
    Pose,
    ReportAttached,
    ReportGone,
    RetrySoon,
    SetDeadline,
    Settle,
)
from wspulse.supervisor.control.bridge.program import AttachedPeer
from wspulse.supervisor.control.route import PeerRoute
from wspulse.supervisor.protocol.wire import read_request

ONE, TWO, THREE = (b"one",), (b"two",), (b"three",)
ASKED = BridgeQuestion("/ws", {}, {}, None)
HEARTBEAT_S = 10.0
NO_PROGRAM = {"status": 503, "text": "no program is attached"}


class Stage:
    """A desk whose instructions are carried out at once, with programs that take all they are sent."""

    def __init__(self) -> None:
        self.desk = BridgeDesk()
        self.done: list[Instruction] = []
        self.full: set[PeerRoute] = set()
        """They have not taken what they were sent before."""
        self.gone: set[PeerRoute] = set()

    def carry_out(self) -> None:
        while (instruction := self.desk.next_instruction()) is not None:
            match instruction:
                case Deliver(peer) | Pose(peer) | Ping(peer) if peer.route in self.gone:
                    self.desk.gone(peer)
                case Deliver(peer) if peer.route in self.full:
                    self.desk.held_back(peer)
                case Deliver(peer):
                    self.done.append(instruction)
                    self.desk.delivered(peer)
                case _:
                    self.done.append(instruction)

    def attach(self, route: PeerRoute, window: int = 100, now: float = 0.0) -> int:
        number = self.desk.attach(route, "json", window, HEARTBEAT_S, now)
        self.carry_out()
        self.desk.adopt_orphans()
        self.carry_out()
        return number

    def detach(self, route: PeerRoute) -> None:
        self.desk.detach(route)
        self.carry_out()

    def credit(self, route: PeerRoute, count: int) -> None:
        self.desk.credit(route, count)
        self.carry_out()

    def notice(self, kind: str, connection_id: str, *, shard: int = 0, program: int = 0) -> None:
        self.desk.notice(BridgeNotice(kind, shard, connection_id, "room", None, program))
        self.carry_out()

    def frame(self, connection_id: str, ticket: int) -> bool:
        """Its payload is its ticket."""
        is_known = self.desk.frame(BridgeFrame(connection_id, "room", "", "", b"%d" % ticket, "json"), ticket)
        self.carry_out()
        return is_known

    def ask(self, ticket: int) -> None:
        self.desk.ask(ASKED, ticket)
        self.carry_out()

    def answer(self, route: PeerRoute, number: int, connection_id: str, now: float = 0.0) -> None:
        answer = {"id": number, "ok": True, "result": {"room": "r", "connection": connection_id}}
        self.desk.answered(route, read_request(msgspec.json.encode(answer)), now)
        self.carry_out()

    def since(self) -> list[Instruction]:
        """What was done since this was asked last."""
        done, self.done = self.done, []
        return done

    def told(self) -> list[str]:
        """The deliveries since this or `since` was asked last: program, op, connection, and adopted or payload."""
        lines = []
        for each in self.since():
            if isinstance(each, Deliver):
                more = "adopted" if each.args.get("adopted") else each.frame.payload.decode() if each.frame else ""
                lines.append(f"{each.peer.route[0].decode()} {each.op} {each.args['connection']} {more}".strip())
        return lines

    def peer(self, route: PeerRoute) -> AttachedPeer:
        """As the next tick names it, at a time when nobody is silent."""
        self.desk.tick(0.0)
        found = None
        while (instruction := self.desk.next_instruction()) is not None:
            assert isinstance(instruction, Ping)
            found = instruction.peer if instruction.peer.route == route else found
        assert found is not None
        return found


@pytest.fixture
def stage() -> Stage:
    return Stage()


# Credit.


def test_program_gets_what_its_window_holds_and_no_more(stage: Stage) -> None:
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


def test_credit_of_a_program_never_exceeds_its_window(stage: Stage) -> None:
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


def test_window_that_is_used_up_holds_back_neither_questions_nor_pings(stage: Stage) -> None:
    stage.attach(ONE, window=1)
    stage.notice("connected", "a")
    stage.notice("disconnected", "a")
    stage.since()
    stage.ask(1)
    stage.desk.tick(1.0)
    stage.carry_out()
    assert [type(each) for each in stage.since()] == [SetDeadline, Pose, Ping]


# A program that does not take what it was sent.


def test_backlogged_program_is_retried_once_in_a_moment_and_keeps_the_order(stage: Stage) -> None:
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


def test_backlogged_program_that_reads_again_is_told_with_the_next_event(stage: Stage) -> None:
    stage.attach(ONE)
    stage.full.add(ONE)
    stage.notice("connected", "a")
    stage.full.clear()
    stage.frame("a", 1)
    assert stage.told() == ["one connected a", "one message a 1"]


def test_backlogged_program_that_goes_is_not_retried_any_more(stage: Stage) -> None:
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


def test_backlog_of_one_program_does_not_hold_up_another(stage: Stage) -> None:
    slow, swift = stage.attach(ONE), stage.attach(TWO)
    stage.full.add(ONE)
    stage.notice("connected", "a", program=slow)
    stage.notice("connected", "b", program=swift)
    stage.frame("b", 1)
    assert stage.told() == ["two connected b", "two message b 1"]


# Who gets a connection.


def test_connection_goes_to_the_program_that_let_it_in_else_to_the_least_loaded(stage: Stage) -> None:
    one, two = stage.attach(ONE), stage.attach(TWO)
    stage.notice("connected", "a", program=two)
    stage.notice("connected", "b", program=two)
    stage.notice("connected", "c", program=one + 1000)
    assert stage.told() == ["two connected a", "two connected b", "one connected c"]


def test_open_questions_count_as_load(stage: Stage) -> None:
    stage.attach(ONE)
    stage.attach(TWO)
    stage.ask(1)
    stage.notice("connected", "a")
    posed = [each.peer.route for each in stage.done if isinstance(each, Pose)]
    assert posed == [ONE]
    assert stage.told() == ["two connected a"]


def test_connection_that_ends_is_no_load_any_more(stage: Stage) -> None:
    one, two = stage.attach(ONE), stage.attach(TWO)
    stage.notice("connected", "a", program=two)
    stage.notice("disconnected", "a")
    stage.notice("connected", "b", program=one)
    stage.notice("connected", "c")
    assert stage.told()[-1] == "two connected c"


def test_connection_that_has_ended_is_no_load_of_the_program_that_is_still_told_of_it(stage: Stage) -> None:
    stage.attach(ONE, window=1)
    stage.notice("connected", "a")
    stage.notice("disconnected", "a")
    stage.attach(TWO)
    stage.attach(THREE)
    stage.detach(ONE)
    stage.notice("connected", "b")
    assert stage.told()[1:] == ["two connected a adopted", "two disconnected a", "two connected b"]


def test_question_that_is_answered_is_no_load_any_more(stage: Stage) -> None:
    stage.attach(ONE)
    stage.attach(TWO)
    stage.ask(1)
    (number,) = [each.number for each in stage.since() if isinstance(each, Pose)]
    stage.answer(ONE, number, "a")
    stage.notice("connected", "b")
    assert stage.told() == ["one connected b"]


def test_connected_twice_ends_the_first_one(stage: Stage) -> None:
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


def test_what_happens_to_a_connection_that_nobody_knows_is_left_out(stage: Stage) -> None:
    stage.attach(ONE)
    stage.since()
    for kind in ("disconnected", "dropped", "restored"):
        stage.notice(kind, "a")
    assert not stage.frame("a", 1)
    assert stage.since() == []


def test_shard_that_goes_down_ends_its_connections_with_an_error(stage: Stage) -> None:
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


# Programs that go.


def leaves_by_detaching(stage: Stage) -> None:
    stage.detach(ONE)


def leaves_by_silence(stage: Stage) -> None:
    stage.desk.heard(TWO, HEARTBEAT_S + 1)
    stage.desk.tick(HEARTBEAT_S + 1)
    stage.carry_out()


def leaves_by_its_connection(stage: Stage) -> None:
    stage.desk.gone(stage.peer(ONE))
    stage.carry_out()


@pytest.mark.parametrize("leave", [leaves_by_detaching, leaves_by_silence, leaves_by_its_connection])
def test_connections_of_a_program_that_goes_are_adopted_in_order(stage: Stage, leave: Callable[[Stage], None]) -> None:
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


def test_connection_that_is_handed_on_twice_is_adopted_once_by_each(stage: Stage) -> None:
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


def test_connections_are_spread_over_those_who_are_left(stage: Stage) -> None:
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


def test_peer_that_is_gone_in_the_middle_of_its_queue_loses_only_what_it_was_sent(stage: Stage) -> None:
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


def test_all_programs_are_gone_in_one_look_and_nothing_is_lost(stage: Stage) -> None:
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


def test_what_happens_while_nobody_is_attached_waits_for_the_answer_to_attach(stage: Stage) -> None:
    stage.notice("connected", "a")
    stage.frame("a", 1)
    stage.notice("connected", "b")
    stage.notice("disconnected", "b")
    assert stage.since() == []
    number = stage.desk.attach(ONE, "json", 100, HEARTBEAT_S, 0.0)
    stage.carry_out()
    assert stage.since() == [ReportAttached(number), AdoptSoon()], "first it is told that it is attached"
    stage.desk.adopt_orphans()
    stage.carry_out()
    assert stage.told() == ["one connected a", "one message a 1", "one connected b", "one disconnected b"]


def test_orphans_that_were_told_of_are_adopted(stage: Stage) -> None:
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


def test_peer_that_attaches_anew_is_another_program_and_adopts_its_own_connections(stage: Stage) -> None:
    first = stage.attach(ONE, window=1)
    stage.notice("connected", "a")
    stage.frame("a", 1)
    stage.since()
    second = stage.attach(ONE, window=5)
    assert second != first
    assert ReportGone(first, "it attached anew") in stage.done
    assert stage.told() == ["one connected a adopted", "one message a 1"]


def test_reports_of_an_earlier_attachment_of_a_peer_are_ignored(stage: Stage) -> None:
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


# Signs of life.


def test_program_is_pinged_until_it_is_silent_for_longer_than_it_said(stage: Stage) -> None:
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


def test_answer_to_a_question_is_a_sign_of_life(stage: Stage) -> None:
    stage.attach(ONE, now=0.0)
    stage.ask(1)
    (number,) = [each.number for each in stage.since() if isinstance(each, Pose)]
    stage.answer(ONE, number, "a", now=HEARTBEAT_S)
    stage.desk.tick(HEARTBEAT_S + 1)
    stage.carry_out()
    assert [type(each) for each in stage.since()] == [ClearDeadline, Settle, Ping]


# Questions.


def test_question_is_settled_with_the_programs_answer(stage: Stage) -> None:
    program = stage.attach(ONE)
    stage.since()
    stage.ask(7)
    deadline, posed = stage.since()
    assert isinstance(posed, Pose)
    assert deadline == SetDeadline(posed.number)
    stage.answer(ONE, posed.number, "alice")
    identity = {"room": "r", "connection": "alice", "program": program}
    assert stage.since() == [ClearDeadline(posed.number), Settle(7, identity)]


def test_question_without_a_program_is_refused_at_once(stage: Stage) -> None:
    stage.ask(7)
    assert stage.since()[-1] == Settle(7, NO_PROGRAM)


def test_question_whose_deadline_passes_is_refused_and_its_late_answer_ignored(stage: Stage) -> None:
    stage.attach(ONE)
    stage.ask(7)
    (number,) = [each.number for each in stage.since() if isinstance(each, Pose)]
    stage.desk.deadline_passed(number)
    stage.carry_out()
    answer = {"status": 503, "text": "the program did not answer in time"}
    assert stage.since() == [ClearDeadline(number), Settle(7, answer)]
    stage.answer(ONE, number, "late")
    assert stage.since() == []


def test_open_questions_of_a_program_that_goes_are_put_to_another_whose_answer_counts(stage: Stage) -> None:
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


def test_open_questions_of_the_last_program_that_goes_are_refused(stage: Stage) -> None:
    stage.attach(ONE)
    stage.ask(7)
    stage.gone.add(ONE)
    stage.desk.tick(1.0)
    stage.carry_out()
    assert stage.since()[-1] == Settle(7, NO_PROGRAM)


def test_question_that_finds_its_program_gone_is_put_to_the_next_one(stage: Stage) -> None:
    stage.attach(ONE)
    stage.attach(TWO)
    stage.gone.add(ONE)
    stage.ask(7)
    assert [each.peer.route for each in stage.since() if isinstance(each, Pose)] == [TWO]


def test_questions_beyond_the_limit_are_refused_until_one_is_settled(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "MOST_QUESTIONS", 2)
    stage.attach(ONE)
    stage.ask(1)
    stage.ask(2)
    numbers = [each.number for each in stage.since() if isinstance(each, Pose)]
    stage.ask(3)
    assert stage.since() == [Settle(3, {"status": 503, "text": "too many connections are on their way"})]
    stage.answer(ONE, numbers[0], "a")
    stage.since()
    stage.ask(4)
    assert [type(each) for each in stage.since()] == [SetDeadline, Pose]
