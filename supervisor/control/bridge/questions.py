"""`OpenQuestions`: who wants to connect and is not decided on yet: which program was asked, and what becomes of it.

Made by `BridgeDesk`, whose part it is. It knows programs only as those who can be asked. No I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wspulse.actors.mesh.message import BridgeQuestion
from wspulse.supervisor.control.bridge.instructions import ClearDeadline, Instruction, Pose, SetDeadline, Settle
from wspulse.supervisor.control.bridge.program import Program
from wspulse.supervisor.control.bridge.wire import read_identity
from wspulse.supervisor.protocol.wire import ControlRequest

__all__ = ["MOST_QUESTIONS", "OpenQuestions"]

MOST_QUESTIONS = 10_000
"""Open at once; beyond that newcomers are refused."""


@dataclass(slots=True, eq=False)
class _Question:
    number: int
    ticket: int
    asked: BridgeQuestion
    program: Program | None = None


class OpenQuestions:
    """See the module. `choose()` is the program to be asked, if there is any; `tell` takes instructions."""

    def __init__(self, choose: Callable[[], Program | None], tell: Callable[[Instruction], None]) -> None:
        self._choose = choose
        self._tell = tell
        self._open: dict[int, _Question] = {}

    @property
    def are_too_many(self) -> bool:
        return len(self._open) >= MOST_QUESTIONS

    def ask(self, number: int, ticket: int, asked: BridgeQuestion) -> None:
        question = self._open[number] = _Question(number, ticket, asked)
        self._tell(SetDeadline(number))
        self._pose(question)

    def answered(self, program: Program, answer: ControlRequest) -> bool:
        """Returns whether it is an answer to what this program was asked."""
        question = self._open.get(answer.id) if isinstance(answer.id, int) else None
        if question is None or question.program is not program:
            return False
        self._settle(question, read_identity(answer, program.peer.number))
        return True

    def deadline_passed(self, number: int) -> None:
        self._settle(self._open[number], {"status": 503, "text": "the program did not answer in time"})

    def ask_others(self, program: Program) -> None:
        """A program is gone: the others are asked what it has not answered."""
        for question in [each for each in self._open.values() if each.program is program]:
            question.program = None
            self._pose(question)

    def _pose(self, question: _Question) -> None:
        program = self._choose()
        if program is None:
            self._settle(question, {"status": 503, "text": "no program is attached"})
            return
        question.program = program
        program.questions += 1
        self._tell(Pose(program.peer, question.number, question.asked))

    def _settle(self, question: _Question, answer: dict[str, Any]) -> None:
        del self._open[question.number]
        if question.program is not None:
            question.program.questions -= 1
        self._tell(ClearDeadline(question.number))
        self._tell(Settle(question.ticket, answer))
