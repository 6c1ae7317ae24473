"""`wspulse top`: a live screen of workers and rooms. Needs the package rich (`wspulse[top]`).

Run by `commands.control` in the terminal's own process. It asks for `stats` and `rooms` once per period and shows what
has changed; while the server is away it says so and waits for it. `q` ends it.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import NamedTuple

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from wspulse.actors.values.errors import ControlError
from wspulse.supervisor.client.blocking import Control
from wspulse.supervisor.commands.rendering import state_text
from wspulse.supervisor.commands.table import bytes_text, duration_text
from wspulse.supervisor.commands.terminal import printable
from wspulse.supervisor.protocol.types import RoomInfo, ServerStats, WorkerStats

__all__ = ["run_top"]

ASK_TIMEOUT_S = 3.0
"""`stats` itself waits 2 s for workers that hesitate."""

FEWEST_ROOM_LINES = 3

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


def run_top(control: Control, period_s: float) -> None:
    """Until `q` or ^C. Raises ControlError when there is no server at the start."""
    console = Console()
    control.timeout = min(control.timeout, ASK_TIMEOUT_S)
    look = _look(control)
    screen = _Screen(control.endpoint)
    screen.add(look)
    with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(screen.render(console.size.height), refresh=True)
            due = monotonic() + period_s
            size = console.size
            while (left_s := due - monotonic()) > 0:
                if pressed(min(left_s, 0.1)) in ("q", "Q"):
                    return
                if console.size != size:
                    break  # the terminal was resized
            else:
                try:
                    screen.add(_look(control))
                except ControlError as error:
                    screen.away(str(error))


def _look(control: Control) -> _Look:
    stats = control.stats()
    return _Look(monotonic(), stats, control.rooms() if any(w.state in SERVING for w in stats.workers) else [])


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Yields `pressed(timeout_s)`, which returns the key that was pressed, or an empty text."""
    fd = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else -1
    before = termios.tcgetattr(fd) if fd >= 0 else None

    def pressed(timeout_s: float) -> str:
        if fd < 0:
            select.select([], [], [], timeout_s)
            return ""
        readable, _, _ = select.select([fd], [], [], timeout_s)
        return os.read(fd, 16).decode("utf-8", "replace")[:1] if readable else ""

    if before is not None:
        tty.setcbreak(fd)
    try:
        yield pressed
    finally:
        if before is not None:
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


class _Screen:
    """What is shown, from the last two looks."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._look: _Look | None = None
        self._before: _Look | None = None
        self._problem = ""

    def add(self, look: _Look) -> None:
        self._before, self._look, self._problem = self._look, look, ""

    def away(self, problem: str) -> None:
        self._before, self._problem = None, problem

    def render(self, height: int) -> RenderableType:
        look = self._look
        assert look is not None
        workers = self._workers(look.stats)
        used = 3 + 4 + len(look.stats.workers) + 3
        lines = max(FEWEST_ROOM_LINES, height - used - 2)
        parts: list[RenderableType] = [self._head(look), Text(), workers, Text(), _rooms(look.rooms, lines)]
        return Group(*parts)

    def _head(self, look: _Look) -> RenderableType:
        stats, totals = look.stats, look.stats.totals
        title = Text.assemble(
            ("wspulse ", "bold"),
            f"{stats.version}   pid {stats.pid}   up {duration_text(stats.uptime_s)}   "
            f"supervisor {bytes_text(stats.rss_bytes)}   ",
            ("q quits", "dim"),
        )
        if self._problem:
            return Group(title, Text(f"{self._problem}; waiting for it", style="bold red"))
        rates = self._total_rates(look)
        counts = (
            f"{totals.connections} connections   {len(look.rooms)} rooms   "
            f"{rates.frames_in:,.0f} frames/s in   {rates.frames_out:,.0f} frames/s out   "
            f"{rates.dropped:,.0f} dropped/s   {totals.queued} queued   {totals.bus_gaps} bus gaps   "
            f"{totals.events_dropped} events dropped"
        )
        return Group(title, Text(counts))

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

    def _workers(self, stats: ServerStats) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold reverse", expand=True)
        for name in ("SHARD", "PID", "STATE"):
            table.add_column(name, no_wrap=True)
        for name in (
            "CONNS",
            "ROOMS",
            "IN/S",
            "OUT/S",
            "DROP/S",
            "DROPPED",
            "QUEUED",
            "LAG",
            "MEMORY",
            "RESTARTS",
            "UP",
        ):
            table.add_column(name, justify="right", no_wrap=True)
        for worker in stats.workers:
            rates = self._rates(worker)
            good = worker.state == "ready"
            style = "green" if good else "yellow" if worker.state in ("starting", "moving") else "red"
            table.add_row(
                str(worker.shard),
                "-" if worker.pid is None else str(worker.pid),
                Text(state_text(worker), style=style),
                str(worker.connections),
                str(worker.rooms),
                f"{rates.frames_in:,.0f}",
                f"{rates.frames_out:,.0f}",
                f"{rates.dropped:,.0f}",
                str(worker.frames_dropped),
                str(worker.queued),
                Text(f"{worker.loop_lag_worst_s * 1000:.1f} ms", style="red" if worker.loop_lag_worst_s > 0.1 else ""),
                bytes_text(worker.rss_bytes),
                str(worker.restarts),
                duration_text(worker.uptime_s),
            )
        return table


def _rooms(rooms: list[RoomInfo], lines: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold reverse", expand=True)
    table.add_column("ROOM", ratio=3, no_wrap=True)
    table.add_column("CONNECTIONS", justify="right", ratio=1)
    ordered = sorted(rooms, key=lambda room: (-room.connections, room.id))
    for room in ordered[:lines]:
        table.add_row(Text(printable(room.id)), str(room.connections))
    if len(ordered) > lines:
        table.add_row(Text(f"and {len(ordered) - lines} more", style="dim"), "")
    return table
