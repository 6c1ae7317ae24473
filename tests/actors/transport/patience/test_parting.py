from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wspulse.actors.transport.patience.parting import Parting, Patience
from wspulse.actors.values.timing.deadlines import Deadlines


@dataclass
class Parted:
    unsent_bytes: int
    blocked: bool = False
    has_ended: bool = False
    ended_at: float | None = None
    now: float = 100.0

    def patience_ends(self) -> None:
        assert self.ended_at is None
        self.ended_at = self.now


class Stage:
    """A transport that has said its last words at 100 s."""

    def __init__(self, unsent_bytes: int, patience: Patience, *, blocked: bool = False) -> None:
        self.transport = Parted(unsent_bytes, blocked)
        self._deadlines = Deadlines()
        Parting(self.transport, self._at, 100.0, patience)

    def _at(self, when: float, call: Callable[[float], None]) -> None:
        self._deadlines.add(when, call)

    def pass_to(self, until: float) -> None:
        while (due := self._deadlines.next_due()) is not None and due <= until:
            self.transport.now = due
            for call in self._deadlines.take_due(due):
                call(due)
        self.transport.now = until

    @property
    def is_over(self) -> bool:
        return self.transport.ended_at is not None


CLOSE = Patience(answer_s=3, stall_s=10, most_s=10)
KICK = Patience(answer_s=3, stall_s=0.5, most_s=10)


def test_answer_is_awaited_for_its_time_when_everything_is_taken() -> None:
    stage = Stage(0, CLOSE)
    stage.pass_to(102.9)
    assert not stage.is_over
    stage.pass_to(103.1)
    assert stage.is_over


def test_nothing_is_said_of_a_socket_that_has_ended() -> None:
    stage = Stage(0, CLOSE)
    stage.transport.has_ended = True
    stage.pass_to(200)
    assert not stage.is_over


def test_peer_that_takes_nothing_is_given_up_when_the_patience_with_a_stall_is_over() -> None:
    stage = Stage(5, CLOSE, blocked=True)
    stage.pass_to(109.9)
    assert not stage.is_over
    stage.pass_to(110.3)
    assert stage.is_over


def test_peer_that_takes_a_little_all_the_time_is_given_up_when_all_patience_is_over() -> None:
    stage = Stage(1000, CLOSE, blocked=True)
    for second in range(101, 110):
        stage.transport.unsent_bytes -= 1
        stage.pass_to(second)
        assert not stage.is_over
    stage.pass_to(110.3)
    assert stage.is_over


def test_answer_is_awaited_from_when_everything_is_taken() -> None:
    stage = Stage(5, CLOSE, blocked=True)
    stage.pass_to(106)
    stage.transport.unsent_bytes = 0
    stage.pass_to(109)
    assert not stage.is_over
    stage.pass_to(109.5)
    assert stage.is_over


def test_peer_that_is_kicked_and_takes_nothing_is_given_up_soon() -> None:
    for blocked in (False, True):
        stage = Stage(5, KICK, blocked=blocked)
        stage.pass_to(100.4)
        assert not stage.is_over
        stage.pass_to(100.8)
        assert stage.is_over


def test_peer_that_is_kicked_and_takes_everything_has_the_usual_time_to_answer() -> None:
    stage = Stage(0, KICK)
    stage.pass_to(102.9)
    assert not stage.is_over
    stage.pass_to(103.1)
    assert stage.is_over
