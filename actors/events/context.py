"""`Context`: one inbound frame on its way through an event router's middleware to a handler.

Made by the event router for each frame and dropped when the frame has been handled. Handlers and middleware talk to it;
it calls them one after another and never looks into a payload that nobody asks for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from wspulse.actors.events.answer import Answers
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.values.awaitable import is_awaitable
from wspulse.actors.values.errors import WspulseError
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.log_limit import shortened

__all__ = ["Chain", "Context", "InvalidPayloadError", "Step"]

_UNREAD: Any = object()


class InvalidPayloadError(WspulseError):
    """A payload does not match what its handler expects. It is passed to `on_invalid`, also when a handler raises it.

    `path` is the field ("$.items[2].price", "$" for the payload itself), `problem` what was expected there. Both are
    shortened to 200 characters.
    """

    code = "invalid_payload"

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = shortened(path)
        self.problem = shortened(problem)

    def __str__(self) -> str:
        return f"wspulse: invalid payload: {self.problem} at {self.path}"


Step = Callable[["Context"], Any]
"""A middleware, or a handler that has got its payload: sync, or returning what is to be awaited."""


class Chain(NamedTuple):
    """What is run for the frames of one event."""

    steps: tuple[Step, ...]
    """Middleware in its order, then the handler."""
    data_type: Any
    on_invalid: Callable[[Context, InvalidPayloadError], Any]
    answers: Answers


class Context:
    """One inbound frame, as handlers and middleware of an `EventRouter` see it.

    It lives for one dispatch, in the task (or the read) that handles the frame; nothing in it is shared with other frames. The
    steps of its chain run in order. When a step returns without having called `next`, the chain goes on by itself; `abort` or
    an exception ends the chain.
    """

    __slots__ = ("_chain", "_data", "_position", "_values", "aborted", "connection", "frame")

    connection: Connection
    """The connection that sent the frame; always one of this shard."""
    frame: Frame
    """The frame as it came, its payload still raw."""
    aborted: bool
    """Whether `abort` was called, or a step failed: the rest of the chain is skipped."""

    def __init__(self, connection: Connection, frame: Frame, chain: Chain) -> None:
        self.connection = connection
        self.frame = frame
        self.aborted = False
        self._chain = chain
        self._position = 0
        self._values: dict[str, Any] | None = None
        self._data = _UNREAD

    # The chain.

    async def next(self) -> None:
        """Run the rest of the chain: what follows `await context.next()` in a middleware runs after the handler.

        For async middleware; a sync one cannot wait for the rest. Does nothing if the rest has run or was aborted. Raises what
        the rest raises.
        """
        pending = self.advance()
        if pending is not None:
            value = await pending
            if value is not None:
                self.answer(value)

    def abort(self) -> None:
        """Skip the rest of the chain. The step that calls it, and those around it, still run to their end."""
        self.aborted = True

    def answer(self, value: Any) -> None:
        """Answer the frame with what its handler returned, which is not None."""
        self._chain.answers.value(self.connection, self.frame, value)

    def advance(self) -> Awaitable[Any] | None:
        """Run steps until one is to be awaited; returns that, whose result, unless that is None, is to be given to `answer`; None
        when all is done.

        For the event router and the middleware that comes with it: a chain without async steps never needs a task.
        """
        steps = self._chain.steps
        try:
            while self._position < len(steps) and not self.aborted:
                position = self._position
                self._position = position + 1
                result = steps[position](self)
                if result is not None:
                    if is_awaitable(result):
                        return self._wait(result) if self._position < len(steps) else result
                    if position + 1 == len(steps):
                        # The last step is the handler; what middleware returns is nobody's.
                        self.answer(result)
        except BaseException:
            # Who catches it around `next` must not have the chain go on behind the step that failed, which may be the
            # one that checks permissions.
            self.aborted = True
            raise
        return None

    async def _wait(self, awaitable: Awaitable[Any]) -> None:
        try:
            await awaitable
        except BaseException:
            self.aborted = True
            raise
        pending = self.advance()
        if pending is not None:
            value = await pending
            if value is not None:
                self.answer(value)

    # The payload.

    @property
    def data(self) -> Any:
        """The payload, decoded to the type that the handler's registration or annotation names, else to plain values.

        Decoded once, on first access. Raises InvalidPayloadError if it does not match; if you let that through, `on_invalid`
        answers it.
        """
        if self._data is _UNREAD:
            self._data = _decoded(self.frame, self._chain.data_type)
        return self._data

    # Values that middleware leaves for those behind it.

    def set(self, key: str, value: Any) -> None:
        """Keep a value for the steps to come."""
        if self._values is None:
            self._values = {}
        self._values[key] = value

    def get(self, key: str, default: Any = None) -> Any:
        """The value that was set, or `default`."""
        return default if self._values is None else self._values.get(key, default)

    def __getitem__(self, key: str) -> Any:
        """The value that was set. Raises KeyError."""
        if self._values is None:
            raise KeyError(key)
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.set(key, value)

    def __contains__(self, key: object) -> bool:
        return self._values is not None and key in self._values

    def __repr__(self) -> str:
        return f"<Context {shortened(self.frame.event)!r} of {self.connection!r}{', aborted' if self.aborted else ''}>"


def _decoded(frame: Frame, data_type: Any) -> Any:
    try:
        return frame.decode(data_type)
    except msgspec.DecodeError as error:
        # "Expected `str`, got `int` - at `$.text`"; without a path it is about the payload itself.
        problem, _, path = str(error).partition(" - at `")
        raise InvalidPayloadError(path.removesuffix("`") or "$", problem) from error
    except UnicodeDecodeError as error:
        # Text is checked before it is decoded, a binary message is not.
        raise InvalidPayloadError("$", "Expected UTF-8") from error
    except RecursionError as error:
        # The frame's own decoder stood a few calls higher on the stack, so that what just passed there fails here.
        raise InvalidPayloadError("$", "Expected less nesting") from error
