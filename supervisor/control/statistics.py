"""`Statistics`: the figures of a server and of each worker, put together from what workers answer and what they have told.

Made by the operations. A worker that does not answer is shown with what is known of it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from wspulse.actors.mesh.message import GetStats, ListRooms, Message
from wspulse.actors.values.errors import ShardUnavailableError, WspulseError
from wspulse.actors.values.health import Health
from wspulse.supervisor.control.shard_links import ShardLinks
from wspulse.supervisor.host.installed import installed_version
from wspulse.supervisor.host.memory import resident_bytes
from wspulse.supervisor.process.child import Child, ChildState
from wspulse.supervisor.process.restart.history import History
from wspulse.supervisor.process.tally import Counts, added
from wspulse.supervisor.process.watching.silence import SILENT_S

__all__ = ["Counted", "Elsewhere", "Statistics"]

STATS_TIMEOUT_S = 2.0
"""A person watches: a silent worker is shown as silent rather than waited for."""

NOT_TOTALLED = frozenset(
    {"rooms", "shard", "pid", "silent_for_s", "restarts", "moving_left", "uptime_s", "loop_lag_s", "loop_lag_worst_s"}
)
"""Gauges of which a sum means nothing, or is made elsewhere."""

SHARED = ("connections", "queued")
"""Gauges of a name that are those of both its workers, while sessions move from one to the other."""


class Counted(Protocol):
    """What is needed of the supervisor."""

    health: Health

    def everybody(self) -> list[Child]:
        """The children, and those beside them."""
        ...

    def histories(self) -> Mapping[int, History]:
        """By name, of all that there have been."""
        ...

    def moving(self, shard: int) -> int | None:
        """How many sessions of a worker have yet to move; None when it is not its turn."""
        ...


class Elsewhere(Protocol):
    """The other hosts of a cluster."""

    async def ask_shards(self, message: Message, timeout_s: float) -> list[tuple[str, Any]]:
        """What each of their shards answers, with its host's name; those that do not are left out. Raises
        ShardUnavailableError."""


class Statistics:
    """See the module. `refused()` is how many control clients did not get in."""

    def __init__(self, supervised: Counted, links: ShardLinks, refused: Callable[[], int]) -> None:
        self._supervised = supervised
        self._links = links
        self._refused = refused
        self._started_at = time.monotonic()

    async def told(self) -> dict[str, Any]:
        """As the operation answers."""
        children = self._supervised.everybody()
        awake = [child.seat for child in children if child.silence_s < SILENT_S]
        incarnations = {seat: self._links.incarnation(seat) for seat in awake}
        answers = await self._links.ask_all(GetStats(), only=awake, timeout_s=STATS_TIMEOUT_S)
        rows: dict[int, dict[str, Any]] = {}
        totals = Counter[str]()
        for child in children:
            answer = answers.get(child.seat)
            if isinstance(answer, dict):
                child.tally.heard(incarnations[child.seat], answer.pop("counters", {}))
            gauges = _worker_gauges(child, answer, self._supervised.moving(child.shard))
            for name, value in gauges.items():
                if name not in NOT_TOTALLED and isinstance(value, (int, float)):
                    totals[name] += value  # type: ignore[assignment]
            if (row := rows.get(child.shard)) is None:
                rows[child.shard] = {**gauges, **child.tally.of(child.incarnation)}
            else:  # what it has been given already, or has left
                for name in SHARED:
                    row[name] = row.get(name, 0) + gauges.get(name, 0)
        counted: Counts = {}
        for history in self._supervised.histories().values():
            counted = added(counted, history.tally.total)
            totals["restarts"] += history.restarts
        totals["rooms"] = await self._room_count(answers)
        now = time.monotonic()
        return {
            "version": installed_version("wspulse") or "unknown",
            "pid": os.getpid(),
            "uptime_s": now - self._started_at,
            "rss_bytes": resident_bytes(os.getpid()),
            "unwell": list(self._supervised.health.reasons),
            "control_refused": self._refused(),
            "totals": {**totals, **counted},
            "workers": list(rows.values()),
        }

    async def of_hosts(self, hosts: list[dict[str, Any]], others: Elsewhere | None) -> list[dict[str, Any]]:
        """These rows, each with its load. One of another host that does not answer is "silent"."""
        own = next((host["id"] for host in hosts if host["state"] == "this"), "")
        stats, rooms = await asyncio.gather(
            self._of_shards(GetStats(), own, others), self._of_shards(ListRooms(), own, others)
        )
        loads: dict[str, Counter[str]] = {}
        for host, answer in stats:
            counted = answer["counters"]
            loads.setdefault(host, Counter()).update(
                {"answering": 1, "connections": answer["connections"], "queued": answer["queued"]}
                | {name: counted.get(name, 0) for name in ("frames_in", "frames_out", "frames_dropped")}
            )
        names: dict[str, set[str]] = {host: set() for host in loads}
        for host, answer in rooms:
            names.setdefault(host, set()).update(room_id for room_id, _ in answer)
            await asyncio.sleep(0)
        rows: list[dict[str, Any]] = []
        for row in hosts:
            name, load = row["id"], loads.get(row["id"])
            if load is None:
                rows.append({**row, "state": "silent" if row["state"] == "up" else row["state"]})
            else:
                connections = load.pop("connections")
                rows.append({**row, "connections": connections, "load": {**load, "rooms": len(names[name])}})
        return rows

    async def _of_shards(self, message: Message, own: str, others: Elsewhere | None) -> list[tuple[str, Any]]:
        """What the shards of all hosts answer, with the name of each one's host."""
        here, elsewhere = await asyncio.gather(
            self._links.ask_all(message, timeout_s=STATS_TIMEOUT_S), _answers_of(others, message)
        )
        return [*((own, each) for each in here.values() if not isinstance(each, WspulseError)), *elsewhere]

    async def _room_count(self, answers: Mapping[int, Any]) -> int:
        """How many rooms there are on the shards that told how many they have: one may be on several of them."""
        counts = {shard: answer.get("rooms", 0) for shard, answer in answers.items() if isinstance(answer, dict)}
        if sum(1 for count in counts.values() if count) < 2:
            return sum(counts.values())
        rooms: set[str] = set()
        for answer in (await self._links.ask_all(ListRooms(), only=counts, timeout_s=STATS_TIMEOUT_S)).values():
            if not isinstance(answer, ShardUnavailableError):
                rooms.update(room_id for room_id, _ in answer)
                await asyncio.sleep(0)
        return len(rooms)


async def _answers_of(others: Elsewhere | None, message: Message) -> list[tuple[str, Any]]:
    try:
        return [] if others is None else await others.ask_shards(message, STATS_TIMEOUT_S)
    except ShardUnavailableError:
        return []  # the gateway is away


def _worker_gauges(child: Child, answer: Any, moving_left: int | None) -> dict[str, Any]:
    """What a worker is and has at this moment. Its restarts are none, but nor do they fall."""
    state = child.state.value
    if child.state is ChildState.READY and (child.silence_s >= SILENT_S or isinstance(answer, ShardUnavailableError)):
        state = "silent"
    elif child.state is ChildState.READY and moving_left is not None:
        state = "moving"
    known = answer if isinstance(answer, dict) else {"connections": child.connections}
    return {
        "shard": child.shard,
        "pid": child.pid,
        "state": state,
        "silent_for_s": round(child.silence_s, 1) if child.silence_s >= SILENT_S else 0.0,
        "moving_left": moving_left or 0,
        "restarts": child.restarts,
        "rss_bytes": None if child.pid is None else resident_bytes(child.pid),
        **known,
    }
