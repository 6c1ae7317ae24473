"""How the subcommands show what a server answered: tables and lines for people, JSON for programs. Prints nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from wspulse.supervisor.commands.table import bytes_text, counted, duration_text, table_lines
from wspulse.supervisor.commands.terminal import printable
from wspulse.supervisor.protocol.types import (
    ClusterHost,
    ConnectionInfo,
    Event,
    MemberInfo,
    MovedInfo,
    RoomInfo,
    ScaledInfo,
    ServerStats,
    ShardMovedInfo,
    WorkerStats,
)

__all__ = [
    "connections_text",
    "event_json",
    "event_line",
    "hosts_text",
    "json_text",
    "moved_text",
    "presence_text",
    "rooms_text",
    "state_text",
    "stats_text",
]


def json_text(value: Any) -> str:
    """One line."""
    return msgspec.json.encode(value).decode()


def connections_text(connections: Sequence[ConnectionInfo]) -> str:
    rows = [
        (
            item.id,
            " ".join(item.rooms or (item.room,)),
            item.shard,
            item.state,
            _time_text(item.connected_at),
            item.queued,
        )
        for item in connections
    ]
    return _table_of_hosts(connections, ("CONNECTION", "ROOMS", "SHARD", "STATE", "SINCE", "QUEUED"), rows)


def presence_text(members: Sequence[MemberInfo]) -> str:
    rows = [
        (
            item.id,
            " ".join(item.rooms),
            item.shard,
            "suspended" if item.suspended else "connected",
            _time_text(item.since),
            json_text(item.state),
        )
        for item in members
    ]
    return _table_of_hosts(members, ("CONNECTION", "ROOMS", "SHARD", "STATE", "SINCE", "APPLICATION STATE"), rows)


def hosts_text(hosts: Sequence[ClusterHost]) -> str:
    now = time.time()
    rows = [
        (host.id, host.state, host.workers, host.connections, duration_text(max(0.0, now - host.since)), host.address)
        for host in hosts
    ]
    return _table_text(("HOST", "STATE", "WORKERS", "CONNECTIONS", "UP", "ADDRESS"), rows)


def rooms_text(rooms: Sequence[RoomInfo]) -> str:
    return _table_text(("ROOM", "CONNECTIONS"), [(item.id, item.connections) for item in rooms])


def moved_text(results: Sequence[MovedInfo]) -> str:
    """One row for each, with the number that it has of its own."""
    of_its_own: dict[type[MovedInfo], str] = {ShardMovedInfo: "SHARD", ScaledInfo: "WORKERS"}
    head = [of_its_own[type(result)] for result in results[:1] if type(result) in of_its_own]
    is_any_lost = any(result.lost for result in results)
    rows = [
        (
            *((result.shard,) if isinstance(result, ShardMovedInfo) else ()),
            *((result.workers,) if isinstance(result, ScaledInfo) else ()),
            result.moved,
            result.drained,
            f"{result.longest_pause_s * 1000:.1f} ms",
            *((result.lost,) if is_any_lost else ()),
        )
        for result in results
    ]
    return _table_text((*head, "MOVED", "CLOSED", "LONGEST PAUSE", *(("LOST",) if is_any_lost else ())), rows)


def state_text(worker: WorkerStats) -> str:
    """What a worker does at this moment."""
    if worker.silent_for_s:
        return f"{worker.state} {worker.silent_for_s:.0f} s"
    return f"{worker.state} {worker.moving_left}" if worker.state == "moving" else worker.state


def stats_text(stats: ServerStats) -> str:
    """Two lines on the whole server, one for each worker that is not well, and a table of its workers."""
    total = stats.totals
    server = (
        f"wspulse {stats.version}, pid {stats.pid}, up {duration_text(stats.uptime_s)}, "
        f"supervisor {bytes_text(stats.rss_bytes)}"
    )
    sums = (
        f"{counted(total.connections, 'connection')}, {counted(total.rooms, 'room')}, "
        f"{counted(total.frames_in, 'frame')} in, {total.frames_out} out, {total.frames_dropped} dropped, "
        f"{counted(total.bus_gaps, 'bus gap')}, {counted(total.events_dropped, 'event')} dropped"
    )
    if total.links_down:
        sums += f", {counted(total.links_down, 'link')} between workers down"
    if stats.control_refused:
        sums += f", {counted(stats.control_refused, 'control client')} refused"
    unwell = [
        f"worker {worker.shard} is unhealthy: {'; '.join(worker.unwell)}" for worker in stats.workers if worker.unwell
    ]
    head = [
        "SHARD",
        "PID",
        "STATE",
        "RESTARTS",
        "CONNECTIONS",
        "ROOMS",
        "QUEUED",
        "IN",
        "OUT",
        "DROPPED",
        "GAPS",
        "LAG",
        "MEMORY",
        "UP",
    ]
    rows = [
        (
            worker.shard,
            worker.pid,
            state_text(worker),
            worker.restarts,
            worker.connections,
            worker.rooms,
            worker.queued,
            worker.frames_in,
            worker.frames_out,
            worker.frames_dropped,
            worker.bus_gaps,
            f"{worker.loop_lag_worst_s * 1000:.1f} ms",
            bytes_text(worker.rss_bytes),
            duration_text(worker.uptime_s),
        )
        for worker in stats.workers
    ]
    lacks = (f"the server is unhealthy: {'; '.join(stats.unwell)}",) if stats.unwell else ()
    return "\n".join((server, *lacks, sums, *unwell, "", _table_text(head, rows)))


def event_json(event: Event) -> str:
    """One line, without the fields that an event of this kind has not."""
    fields = msgspec.to_builtins(event)
    return json_text({name: value for name, value in fields.items() if value is not None and value != ""})


def event_line(event: Event) -> str:
    """One line. Control characters are replaced: ids and payloads are user input."""
    words = [_time_text(event.time), f"{event.kind:16}"]
    shard = f"shard {event.shard}" if event.host is None else f"shard {event.shard} of {event.host}"
    if event.kind.startswith("worker."):
        words.append(f"{shard}, pid {event.pid}")
        if event.is_over:
            words.append(f"{event.moved} moved, {event.drained} closed")
    else:
        words.append(f"{event.connection} in {event.room} ({shard})")
    if event.error is not None:
        words.append(event.error.get("message", ""))
    if event.frame is not None:
        words.append(json_text(event.frame))
    if event.missed:
        words.append("[events may be missing before this one]")
    return printable("  ".join(words))


def _table_of_hosts(
    items: Sequence[ConnectionInfo | MemberInfo], head: tuple[str, ...], rows: Sequence[Sequence[object]]
) -> str:
    """With the host of each before its shard, where there are several: "this" is the one that was asked."""
    if any(item.host is not None for item in items):
        at = head.index("SHARD")
        head = (*head[:at], "HOST", *head[at:])
        rows = [(*row[:at], item.host or "this", *row[at:]) for item, row in zip(items, rows, strict=True)]
    return _table_text(head, rows)


def _table_text(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return "\n".join(table_lines(head, rows))


def _time_text(when: float) -> str:
    return datetime.fromtimestamp(when).astimezone().strftime("%Y-%m-%d %H:%M:%S")
