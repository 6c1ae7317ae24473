"""`Row`: one strike with its name and what is promised; and what was seen of it, as it is kept."""

from __future__ import annotations

import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.support.chaos.stage import Scene, Stage, stage

__all__ = ["Outcome", "Row", "alone", "under_crowd"]

Run = Callable[[Path, int], Awaitable[list[str]]]
"""With an empty folder, and how many members a crowd has. Returns what was seen; AssertionError where it is not as promised."""


@dataclass(frozen=True)
class Row:
    name: str
    """What `scripts/chaos` calls it."""
    title: str
    """What is done."""
    promised: str
    """In a sentence, of what the contract promises."""
    run: Run


@dataclass
class Outcome:
    """`trouble` is empty where all was as promised."""

    name: str
    seen: list[str] = field(default_factory=list)
    trouble: str = ""
    why: str = ""
    """The same in a line."""
    duration_s: float = 0.0

    @classmethod
    async def of(cls, row: Row, members: int) -> Outcome:
        outcome, began = cls(row.name), time.monotonic()
        with tempfile.TemporaryDirectory(prefix="wspulse-chaos-") as folder:
            try:
                outcome.seen = await row.run(Path(folder), members)
            except Exception as error:
                outcome.trouble = traceback.format_exc()
                outcome.why = f"{type(error).__name__}: {error}".partition("\n")[0]
        outcome.duration_s = time.monotonic() - began
        return outcome

    def as_record(self) -> dict[str, Any]:
        seen = [self.why] if self.trouble else self.seen
        return {"held": not self.trouble, "seen": seen, "duration_s": round(self.duration_s, 1)}


def under_crowd(strike: Callable[[Stage], Awaitable[None]], scene: Scene = Scene()) -> Run:  # noqa: B008 (frozen)
    """At a server of its own, while a crowd talks."""
    return partial(_under_crowd, strike, scene)


async def _under_crowd(
    strike: Callable[[Stage], Awaitable[None]], scene: Scene, folder: Path, members: int
) -> list[str]:
    async with stage(folder, scene, members) as struck:
        before = struck.crowd.heard
        await strike(struck)
        return [*struck.seen, *_of_the_crowd(struck, before)]


def _of_the_crowd(struck: Stage, heard_before: int) -> list[str]:
    """Everybody who was cut off is among those of whom the strike knows, or it would have failed."""
    crowd = struck.crowd
    seen = []
    if struck.returns:
        counts = [count for count, _ in struck.returns]
        times = f"{len(counts)} times, " if len(counts) > 1 else ""
        some = f"{min(counts)} to {max(counts)}" if len(set(counts)) > 1 else f"{counts[0]}"
        latest_s = max(back_s for _, back_s in struck.returns)
        seen.append(f"{times}{some} clients cut off, all back after {'at most ' if times else ''}{latest_s:.2f} s")
    if others := len(crowd.members) - len(struck.concerned):
        seen.append(f"{others} {'other ' if struck.concerned else ''}clients: 0 closed")
    elif struck.returns:
        seen.append("others each time: 0 closed")
    if heard := crowd.heard - heard_before:
        longest_s = max(crowd.longest_s.values(), default=0.0)
        seen.append(
            f"{heard:,} frames heard: {len(crowd.faults)} lost or out of order; longest on its way {longest_s:.2f} s"
        )
    return seen


def alone(run: Callable[[], Awaitable[list[str]]]) -> Run:
    """What brings a server and clients of its own."""

    async def ran(_folder: Path, _members: int) -> list[str]:
        return await run()

    return ran
