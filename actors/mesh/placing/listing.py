"""`list_sessions`: a snapshot of the sessions of all processes, exact while sessions move between them.

Used by a worker for its application and by the supervisor for its clients. One that leaves a process after another was asked,
which gets it, would be in no answer: so each answer names the seats that may have got sessions, and those are asked (again)
behind it. One that is in two answers is known by its birth key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from wspulse.actors.mesh.message import ConnectionList, ConnectionRecord

__all__ = ["list_sessions"]

_MOST_ROUNDS = 4
"""A session moves at most once in the milliseconds of a snapshot; a chain of more seats is not a valid answer."""


async def list_sessions(
    seats: Iterable[int], list_at: Callable[[int], Awaitable[ConnectionList | None]]
) -> list[ConnectionRecord]:
    """What the processes at these seats have, and those that they name. `list_at` asks one; None: it has died meanwhile, and what
    it had given away nobody has named, so that all are asked again. Raises what it raises."""
    found: dict[tuple[int, int], ConnectionRecord] = {}
    first = set(seats)
    wanted = first
    for _ in range(_MOST_ROUNDS):
        answers = await asyncio.gather(*map(list_at, sorted(wanted)))
        wanted = set()
        for answer in answers:
            if answer is None:
                wanted |= first
                continue
            for record in answer.records:
                found[record.incarnation, record.serial] = record
            wanted.update(answer.gone_to)
        if not wanted:
            break
    return list(found.values())
