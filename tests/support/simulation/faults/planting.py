"""All faults, and how one is planted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from tests.support.simulation.faults import calls, exact, handlers, moves, rooms, sessions, transports

__all__ = ["FAULTS", "planted"]

FAULTS = (
    sessions.FAULTS | calls.FAULTS | rooms.FAULTS | transports.FAULTS | handlers.FAULTS | exact.FAULTS | moves.FAULTS
)


@contextmanager
def planted(name: str) -> Iterator[None]:
    patches = [
        patch.object(owner, attribute, replacement) if attribute else patch.dict(owner, replacement)
        for owner, attribute, replacement in FAULTS[name]
    ]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in reversed(patches):
            one.stop()
