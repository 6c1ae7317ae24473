"""`StartedParts`: what has been started, in its order, so that it can be stopped in reverse.

Made by whoever starts several parts one after another: the supervisor, the control plane. It starts nothing itself, and logs
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from wspulse.actors.values.awaitable import result_of

__all__ = ["Part", "PartFailure", "StartedParts", "nothing"]


class Part(NamedTuple):
    """What is started and stopped; both may be coroutine functions."""

    name: str
    start: Callable[[], object]
    stop: Callable[[], object]


def nothing() -> None:
    """Of a part that begins by itself."""


class PartFailure(NamedTuple):
    """A part that did not stop as it should."""

    part: str
    error: Exception


class StartedParts:
    """Add a part before it is started: what of it was started by the time it fails ends with the others."""

    def __init__(self) -> None:
        self._stops: list[tuple[str, Callable[[], object]]] = []

    def add(self, part: str, stop: Callable[[], object]) -> None:
        """`stop` may be a coroutine function."""
        self._stops.append((part, stop))

    async def stop(self) -> list[PartFailure]:
        """Stop all, the newest first, each once. One that fails keeps none of the others from being stopped; the failures
        are returned in their order."""
        failures = []
        while self._stops:
            part, stop = self._stops.pop()
            try:
                await result_of(stop())
            except Exception as error:
                failures.append(PartFailure(part, error))
        return failures
