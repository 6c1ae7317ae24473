"""`Asks`: what one shard of another process was asked, and has not answered.

Made by a `ShardLink`, which sends what is asked here and brings the answers. An ask leaves when it is answered, when its
deadline passes, when its caller is cancelled, or when the stream ends on which it was sent; what the stream has not begun to
send of it by then is taken back. One that could not be sent yet waits for the shard's replacement.
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

from wspulse.actors.mesh.message import Ask, Envelope, Message, Withdrawal
from wspulse.actors.values.errors import ShardUnavailableError, error_from_code

__all__ = ["Asks"]

_SWEEP_S = 0.05


class AskStream(Protocol):
    """The stream to the shard, as far as asks need it."""

    def send(self, envelope: Envelope) -> int: ...
    def take_back(self, number: int) -> bool: ...


@dataclass(slots=True)
class _Asked:
    future: asyncio.Future[Any]
    deadline: float
    message: Message | None
    """Until it was sent: then its stream has it, and it is never sent again."""
    envelope: int = 0
    """Its number in the stream."""


class Asks:
    """See the module. They are made to one shard, whose name is `shard` in errors."""

    def __init__(self, shard: int) -> None:
        self._shard = shard
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        """In which the loop calls us: that of a handler, which asks, would be kept."""
        self._stream: AskStream | None = None
        self._incarnation = 0
        self._number = 0
        self._asked: dict[int, _Asked] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._asked)

    async def ask(self, message: Message, timeout_s: float | None) -> Any:
        """The answer. Raises ShardUnavailableError, what the shard raised, and what the encoder raises."""
        self._number = number = self._number + 1
        deadline = 0.0 if timeout_s is None else monotonic() + timeout_s
        asked = self._asked[number] = _Asked(self._loop.create_future(), deadline, message)
        try:
            if self._stream is not None:
                self._send(self._stream, number, asked)
            self._set_sweeper()
            return await asked.future
        finally:
            if number in self._asked:
                # It could not be encoded, or the caller was cancelled.
                self._withdraw(number)

    def begin(self, stream: AskStream, incarnation: int) -> None:
        """The shard is there: send what waits for it."""
        self._stream, self._incarnation = stream, incarnation
        for number, asked in list(self._asked.items()):
            try:
                self._send(stream, number, asked)
            except Exception as error:  # what cannot be encoded is its asker's alone
                self._fail(number, error)

    def end(self, reason: str) -> None:
        """The stream has ended: fail what was sent on it."""
        self._stream, self._incarnation = None, 0
        for number, asked in list(self._asked.items()):
            if asked.envelope:
                self._fail(number, ShardUnavailableError(reason))

    def close(self, reason: str) -> None:
        """Fail all."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for number in list(self._asked):
            self._fail(number, ShardUnavailableError(reason))

    def answered(self, number: int, result: Any) -> None:
        asked = self._asked.pop(number, None)
        if asked is not None and not asked.future.done():
            asked.future.set_result(result)

    def failed(self, number: int, code: str, subject: str) -> None:
        """The shard says that it cannot be done."""
        self._fail(number, error_from_code(code, subject))

    def _send(self, stream: AskStream, number: int, asked: _Asked) -> None:
        assert asked.message is not None
        asked.envelope = stream.send(Ask(number, self._incarnation, asked.deadline, asked.message))
        asked.message = None

    def _fail(self, number: int, error: Exception) -> None:
        asked = self._asked.pop(number, None)
        if asked is not None:
            if self._stream is not None and asked.envelope:
                self._stream.take_back(asked.envelope)
            if not asked.future.done():
                asked.future.set_exception(error)

    def _withdraw(self, number: int) -> None:
        asked = self._asked.pop(number)
        stream = self._stream
        if stream is None or not asked.envelope or stream.take_back(asked.envelope):
            return
        # The shard would wait on to answer it, until its deadline if it has one: a call's is up to a day.
        stream.send(Withdrawal(number))

    def _set_sweeper(self) -> None:
        if self._sweeper is None and self._asked:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep, context=self._context)

    def _sweep(self) -> None:
        """Fail what has passed its deadline: one timer for all."""
        self._sweeper = None
        now = monotonic()
        for number, asked in list(self._asked.items()):
            if asked.deadline and now >= asked.deadline:
                self._fail(number, ShardUnavailableError(f"shard {self._shard} did not answer in time"))
        self._set_sweeper()
