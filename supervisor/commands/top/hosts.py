"""`HostsScreen`: the hosts of a cluster, one on each line, with what all the workers of each have and count."""

from __future__ import annotations

import time
from collections.abc import Callable
from textwrap import wrap
from time import monotonic
from typing import Literal, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wspulse.supervisor.client.blocking import Control
from wspulse.supervisor.commands.table import counted, duration_text
from wspulse.supervisor.commands.terminal import printable
from wspulse.supervisor.commands.top.columns import fitting, flowed
from wspulse.supervisor.protocol.types import ClusterHost

__all__ = ["HostsScreen"]

LONGEST_NAME = 24
"""Of a host, where it is wider than a third of the terminal."""


class _Look(NamedTuple):
    at: float
    hosts: list[ClusterHost]


class _Rates(NamedTuple):
    """Per second, since the look before."""

    frames_in: float
    frames_out: float
    dropped: float


class _Column(NamedTuple):
    """`importance`: those with the highest numbers are left out first."""

    name: str
    importance: int
    cell: Callable[[ClusterHost, _Rates | None], str | Text]
    justify: Literal["left", "right"] = "right"


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


_COLUMNS = (
    _Column("HOST", 0, lambda host, _: printable(host.id), "left"),
    _Column("ADDRESS", 9, lambda host, _: printable(host.address), "left"),
    _Column("STATE", 1, lambda host, _: Text(host.state, style=_style(host)), "left"),
    _Column("WORKERS", 5, lambda host, _: _workers(host)),
    _Column("CONNS", 2, lambda host, _: str(host.connections)),
    _Column("ROOMS", 6, lambda host, _: "-" if host.load is None else str(host.load.rooms)),
    _Column("IN/S", 3, lambda _, rates: _rate(rates and rates.frames_in)),
    _Column("OUT/S", 4, lambda _, rates: _rate(rates and rates.frames_out)),
    _Column("DROP/S", 7, lambda _, rates: _rate(rates and rates.dropped)),
    _Column("QUEUED", 8, lambda host, _: "-" if host.load is None else str(host.load.queued)),
    _Column("UP", 10, lambda host, _: duration_text(max(0.0, time.time() - host.since))),
)


class HostsScreen:
    """See the module."""

    def __init__(self) -> None:
        self._look = _Look(0.0, [])
        self._before: _Look | None = None
        self._problem = ""

    def look(self, control: Control) -> None:
        self.add(_Look(monotonic(), control.hosts(load=True)))

    def add(self, look: _Look) -> None:
        self._before, self._look, self._problem = self._look, look, ""

    def away(self, problem: str) -> None:
        self._before, self._problem = None, problem

    def render(self, width: int, height: int, *, keys: bool = True) -> RenderableType:
        hosts = self._look.hosts
        head = self._head(width, keys=keys)
        cells = {host.id: [column.cell(host, self._rates(host)) for column in _COLUMNS] for host in hosts}
        for row in cells.values():
            row[0] = _shortened(str(row[0]), width)
        columns = [[column.name, *(str(row[at]) for row in cells.values())] for at, column in enumerate(_COLUMNS)]
        places = fitting(columns, [column.importance for column in _COLUMNS], width)
        left_out = [column.name for place, column in enumerate(_COLUMNS) if place not in places]
        notes = wrap(f"no room for {', '.join(left_out)}: widen the terminal", width) if left_out else []
        lines = max(1, height - len(head) - 2 - len(notes))
        if len(hosts) > lines:
            # Those that do not answer are what somebody looks for.
            hosts = sorted(hosts, key=lambda host: (host.load is not None, host.id))[: max(1, lines - 1)]
            notes.insert(0, f"and {counted(len(cells) - len(hosts), 'more host')}")
        table = Table(box=None, pad_edge=False, header_style="bold reverse")
        for place in places:
            table.add_column(_COLUMNS[place].name, justify=_COLUMNS[place].justify, no_wrap=True)
        for name in sorted(host.id for host in hosts):
            table.add_row(*(cells[name][place] for place in places))
        return Group(*head, Text(), table, *(Text(note, style="dim") for note in notes))

    def _head(self, width: int, *, keys: bool) -> list[Text]:
        hosts = self._look.hosts
        rates = [rates for host in hosts if (rates := self._rates(host)) is not None]
        phrases = [
            counted(len(hosts), "host"),
            counted(sum(host.connections for host in hosts), "connection"),
            f"{sum(each.frames_in for each in rates):,.0f} frames/s in",
            f"{sum(each.frames_out for each in rates):,.0f} frames/s out",
            *(["q quits"] if keys else []),
        ]
        lines = [Text(line, style="bold") for line in flowed(phrases, width)]
        if self._problem:
            problem = printable(f"{self._problem}; waiting for it")
            lines += [Text(line, style="bold red") for line in wrap(problem, width)]
        return lines

    def _rates(self, host: ClusterHost) -> _Rates | None:
        """None where nothing is known of one of the two looks, or its workers count from 0 since."""
        before, load = self._before, host.load
        old = None if before is None else next((other.load for other in before.hosts if other.id == host.id), None)
        if before is None or old is None or load is None or load.answering != old.answering:
            return None
        seconds = max(0.001, self._look.at - before.at)
        rates = _Rates(
            (load.frames_in - old.frames_in) / seconds,
            (load.frames_out - old.frames_out) / seconds,
            (load.frames_dropped - old.frames_dropped) / seconds,
        )
        return rates if min(rates) >= 0 else None


def _workers(host: ClusterHost) -> str:
    """4, or how many of them answer."""
    is_whole = host.load is not None and host.load.answering >= host.workers
    return str(host.workers) if is_whole else f"{0 if host.load is None else host.load.answering}/{host.workers}"


def _style(host: ClusterHost) -> str:
    if host.load is None:
        return "red"
    return "green" if host.load.answering >= host.workers else "yellow"


def _shortened(name: str, width: int) -> str:
    """What tells hosts apart stands at the end: a port, a number."""
    most = max(LONGEST_NAME, width // 3)
    return name if len(name) <= most else f"…{name[1 - most :]}"
