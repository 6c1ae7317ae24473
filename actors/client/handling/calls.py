"""`Calls`: the questions of a line that wait for their answers.

A call begins and ends here; the transport brings the answers, the line says when there will be none any more.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection
from itertools import count

from wspulse.actors.client.outbox import Outgoing
from wspulse.actors.values.frame import Frame

__all__ = ["Call", "Calls"]


class Call:
    """One question. Its `answer` is a frame, or why there is none."""

    def __init__(self, call_id: str) -> None:
        self.id = call_id
        self.answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self.outgoing: Outgoing | None = None


class Calls:
    """By an id that no other client has: where an application passes frames on, another's answer must match no call of ours."""

    def __init__(self) -> None:
        self._prefix = f"{secrets.token_hex(6)}:"
        self._numbers = count(1)
        self._waiting: dict[str, Call] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def begin(self) -> Call:
        call = Call(f"{self._prefix}{next(self._numbers)}")
        self._waiting[call.id] = call
        return call

    def end(self, call: Call) -> None:
        """Nobody waits for it any more."""
        self._waiting.pop(call.id, None)
        call.answer.cancel()

    def take(self, frame: Frame) -> bool:
        """Whether a frame is an answer to a call of this line, be it late or twice: no handler sees it."""
        if not frame.id.startswith(self._prefix):
            return False
        call = self._waiting.get(frame.id)
        if call is not None and not call.answer.done():
            call.answer.set_result(frame)
        return True

    def fail(self, error: Callable[[], Exception], but: Collection[str] = ()) -> None:
        """There will be no answers but to the calls with these ids."""
        for call in self._waiting.values():
            if call.id not in but and not call.answer.done():
                call.answer.set_exception(error())
                call.answer.exception()  # whoever waited may have been cancelled in the same moment
