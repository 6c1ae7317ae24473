"""`WorkersScreen`: the workers of one server, and the rooms of all its hosts, from `stats` and `rooms`."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import wrap
from time import monotonic
from typing import Literal, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wspulse.supervisor.client.blocking import Control
from wspulse.supervisor.commands.rendering import state_text
from wspulse.supervisor.commands.table import bytes_text, counted, duration_text
from wspulse.supervisor.commands.terminal import printable
from wspulse.supervisor.commands.top.columns import GAP, fitting, flowed
from wspulse.supervisor.protocol.types import RoomInfo, ServerStats, WorkerStats

__all__ = ["WorkersScreen"]

FEWEST_ROOM_LINES = 3

ROOM_COUNT_WIDTH = 8

SERVING = ("ready", "moving")


class _Look(NamedTuple):
    at: float
    stats: ServerStats
    rooms: list[RoomInfo]


class _Rates(NamedTuple):
    """Per second, since the look before."""

    frames_in: float
    frames_out: float
    dropped: float


class _Column(NamedTuple):
    """One of the table of workers. `importance`: those with the highest numbers are left out first."""

    name: str
    importance: int
    cell: Callable[[WorkerStats, _Rates], str | Text]
    justify: Literal["left", "right"] = "right"


_COLUMNS = (
    _Column("SHARD", 0, lambda worker, _: str(worker.shard)),
    _Column("PID", 11, lambda worker, _: "-" if worker.pid is None else str(worker.pid)),
    _Column("STATE", 1, lambda worker, _: Text(state_text(worker), style=_state_style(worker)), "left"),
    _Column("CONNS", 2, lambda worker, _: str(worker.connections)),
    _Column("ROOMS", 9, lambda worker, _: str(worker.rooms)),
    _Column("IN/S", 3, lambda _, rates: f"{rates.frames_in:,.0f}"),
    _Column("OUT/S", 4, lambda _, rates: f"{rates.frames_out:,.0f}"),
    _Column("DROP/S", 7, lambda _, rates: f"{rates.dropped:,.0f}"),
    _Column("DROPPED", 13, lambda worker, _: str(worker.frames_dropped)),
    _Column("QUEUED", 8, lambda worker, _: str(worker.queued)),
    _Column("LAG", 5, lambda worker, _: Text(f"{worker.loop_lag_worst_s * 1000:.1f} ms", style=_lag_style(worker))),
    _Column("MEMORY", 6, lambda worker, _: bytes_text(worker.rss_bytes)),
    _Column("RESTARTS", 10, lambda worker, _: str(worker.restarts)),
    _Column("UP", 12, lambda worker, _: duration_text(worker.uptime_s)),
)


class WorkersScreen:
    """See the module."""

    def __init__(self) -> None:
        self._look: _Look | None = None
        self._before: _Look | None = None
        self._problem = ""

    def look(self, control: Control) -> None:
        self.add(_look(control))

    def add(self, look: _Look) -> None:
        self._before, self._look, self._problem = self._look, look, ""

    def away(self, problem: str) -> None:
        self._before, self._problem = None, problem

    def render(self, width: int, height: int, *, keys: bool = True) -> RenderableType:
        look = self._look
        assert look is not None
        head = self._head(look, width, keys=keys)
        room_lines = min(FEWEST_ROOM_LINES, len(look.rooms))
        others = len(head) + 4 + room_lines + 1  # two empty lines, two heads, rooms and how many more
        workers = self._workers(look.stats.workers, width, height - others)
        room_lines = max(FEWEST_ROOM_LINES, height - len(head) - 4 - workers.height - 1)
        return Group(*head, Text(), workers.table, *workers.notes, Text(), _rooms(look.rooms, width, room_lines))

    def _head(self, look: _Look, width: int, *, keys: bool) -> list[Text]:
        stats, totals = look.stats, look.stats.totals
        title = [
            f"wspulse {stats.version}",
            f"pid {stats.pid}",
            f"up {duration_text(stats.uptime_s)}",
            f"supervisor {bytes_text(stats.rss_bytes)}",
            *(["q quits"] if keys else []),
        ]
        lines = [Text(line, style="bold") for line in flowed(title, width)]
        if self._problem:
            problem = printable(f"{self._problem}; waiting for it")
            return [*lines, *(Text(line, style="bold red") for line in wrap(problem, width))]
        rates = self._total_rates(look)
        counts = [
            counted(totals.connections, "connection"),
            counted(len(look.rooms), "room"),
            f"{rates.frames_in:,.0f} frames/s in",
            f"{rates.frames_out:,.0f} frames/s out",
            f"{rates.dropped:,.0f} dropped/s",
            f"{totals.queued} queued",
            counted(totals.bus_gaps, "bus gap"),
            f"{counted(totals.events_dropped, 'event')} dropped",
        ]
        return [*lines, *(Text(line) for line in flowed(counts, width))]

    def _total_rates(self, look: _Look) -> _Rates:
        rates = [self._rates(worker) for worker in look.stats.workers]
        return _Rates(*(sum(column) for column in zip(*rates, strict=True))) if rates else _Rates(0, 0, 0)

    def _rates(self, worker: WorkerStats) -> _Rates:
        look, before = self._look, self._before
        assert look is not None
        if before is None:
            return _Rates(0, 0, 0)
        old = next((other for other in before.stats.workers if other.shard == worker.shard), None)
        if old is None or old.pid != worker.pid or worker.frames_out < old.frames_out:
            return _Rates(0, 0, 0)  # another process counts from 0
        seconds = max(0.001, look.at - before.at)
        return _Rates(
            (worker.frames_in - old.frames_in) / seconds,
            (worker.frames_out - old.frames_out) / seconds,
            (worker.frames_dropped - old.frames_dropped) / seconds,
        )

    def _workers(self, workers: list[WorkerStats], width: int, lines: int) -> _Workers:
        cells = {worker.shard: [column.cell(worker, self._rates(worker)) for column in _COLUMNS] for worker in workers}
        places = fitting(
            [[column.name, *(str(row[at]) for row in cells.values())] for at, column in enumerate(_COLUMNS)],
            [column.importance for column in _COLUMNS],
            width,
        )
        left_out = [column.name for place, column in enumerate(_COLUMNS) if place not in places]
        notes = wrap(f"no room for {', '.join(left_out)}: widen the terminal", width) if left_out else []
        if len(workers) > (rows := max(1, lines - len(notes))):
            # Those that are not ready are what somebody looks for.
            workers = sorted(workers, key=lambda worker: worker.state == "ready")[: max(1, rows - 1)]
            notes.insert(0, f"and {counted(len(cells) - len(workers), 'more worker')}")
        table = Table(box=None, pad_edge=False, header_style="bold reverse")
        for place in places:
            table.add_column(_COLUMNS[place].name, justify=_COLUMNS[place].justify, no_wrap=True)
        for shard in sorted(worker.shard for worker in workers):
            table.add_row(*(cells[shard][place] for place in places))
        return _Workers(table, [Text(note, style="dim") for note in notes], len(workers) + len(notes))


class _Workers(NamedTuple):
    """The table of workers, what is said below it, and how many lines both have without the table's head."""

    table: Table
    notes: list[Text]
    height: int


def _state_style(worker: WorkerStats) -> str:
    return {"ready": "green", "starting": "yellow", "moving": "yellow"}.get(worker.state, "red")


def _lag_style(worker: WorkerStats) -> str:
    return "red" if worker.loop_lag_worst_s > 0.1 else ""


def _rooms(rooms: list[RoomInfo], width: int, lines: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold reverse")
    table.add_column("ROOM", no_wrap=True, overflow="ellipsis", max_width=max(1, width - GAP - ROOM_COUNT_WIDTH))
    table.add_column("CONNS", justify="right", no_wrap=True, min_width=ROOM_COUNT_WIDTH)
    ordered = sorted(rooms, key=lambda room: (-room.connections, room.id))
    shown = ordered if len(ordered) <= lines + 1 else ordered[:lines]
    for room in shown:
        table.add_row(Text(printable(room.id)), str(room.connections))
    if len(shown) < len(ordered):
        table.add_row(Text(f"and {counted(len(ordered) - len(shown), 'more room')}", style="dim"), "")
    return table


def _look(control: Control) -> _Look:
    stats = control.stats()
    return _Look(monotonic(), stats, control.rooms() if any(w.state in SERVING for w in stats.workers) else [])
