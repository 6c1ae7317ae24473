"""`Handlers`: who wants which event of a line, and how each of them is called.

Filled by the program through `line.on`, asked by the task that handles. No I/O.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from wspulse.actors.values.frame import Frame

__all__ = ["AnyHandler", "Handler", "Handlers"]

AnyHandler = Callable[..., Any]


class Handler(NamedTuple):
    """One function, for one event."""

    function: AnyHandler
    type: Any
    """What the payload is decoded to."""
    arguments: int
    """So many it takes, of the payload and the frame."""

    def call(self, payload: Any, frame: Frame) -> Any:
        return self.function(*(payload, frame)[: self.arguments])


class Handlers:
    """The functions of each event, in the order in which they came."""

    def __init__(self) -> None:
        self._by_event: dict[str, tuple[Handler, ...]] = {}

    def add(self, event: str, function: AnyHandler, type: Any) -> None:  # noqa: A002
        """Raises TypeError for what cannot be called with a payload and a frame, or less."""
        if not isinstance(event, str):
            raise TypeError(f"wspulse: an event must be a str, not {event.__class__.__name__}")
        handler = Handler(function, type, _arguments_of(function))
        self._by_event[event] = (*self.of(event), handler)

    def remove(self, event: str, function: AnyHandler) -> None:
        """Raises ValueError for one that is not there. The one that came last goes first."""
        handlers = self.of(event)
        for place in range(len(handlers) - 1, -1, -1):
            if handlers[place].function == function:
                self._by_event[event] = handlers[:place] + handlers[place + 1 :]
                return
        raise ValueError(f"wspulse: no such handler for {event!r}")

    def of(self, event: str) -> tuple[Handler, ...]:
        return self._by_event.get(event, ())


def _arguments_of(function: AnyHandler) -> int:
    """How many of payload and frame a function takes, so that one need not name what it does not use."""
    if not callable(function):
        raise TypeError(f"wspulse: a handler must be callable, not {type(function).__name__}")
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # some functions written in C do not tell
        return 1
    places = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    needed = sum(each.default is each.empty for each in places)
    if needed > 2 or any(each.kind == each.KEYWORD_ONLY and each.default is each.empty for each in parameters):
        raise TypeError("wspulse: a handler is called with at most two arguments, the payload and the frame")
    if any(each.kind == each.VAR_POSITIONAL for each in parameters):
        return 2
    # A second one with a default is the function's own: `lambda payload, number=number: ...`
    return max(needed, min(len(places), 1))
