"""The live view of hosts."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from wspulse.supervisor.commands.top.hosts import HostsScreen, _Look
from wspulse.supervisor.protocol.types import ClusterHost, HostLoad

NAMES = ["HOST", "ADDRESS", "STATE", "WORKERS", "CONNS", "ROOMS", "IN/S", "OUT/S", "DROP/S", "QUEUED", "UP"]


def host(name: str, *, frames_in: int = 0, answering: int | None = 2) -> ClusterHost:
    load = None
    if answering is not None:
        load = HostLoad(
            answering=answering, rooms=3, queued=0, frames_in=frames_in, frames_out=2 * frames_in, frames_dropped=0
        )
    state = "silent" if load is None else "up"
    return ClusterHost(id=name, address=f"ws://{name}/ws", workers=2, connections=5, since=0.0, state=state, load=load)


def shown(screen: HostsScreen, width: int = 132, height: int = 24) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    with console.capture() as captured:
        console.print(screen.render(width, height))
    return [line.rstrip() for line in captured.get().splitlines()]


@pytest.mark.parametrize("width", [40, 60, 80, 132])
@pytest.mark.parametrize("count", [1, 2, 60])
def test_screen_fits_and_says_what_it_leaves_out(width: int, count: int) -> None:
    screen = HostsScreen()
    names = [f"host-{number:02}.of.a.very.long.domain.example.com:8000" for number in range(count)]
    screen.add(_Look(1.0, [host(name, answering=None if name == names[-1] else 2) for name in names]))
    lines = shown(screen, width)
    assert max(map(len, lines)) <= width
    assert len(lines) <= 24
    head = next(line for line in lines if line.startswith("HOST")).split()
    told = " ".join(lines)
    for name in NAMES:
        assert (name in head) != (f" {name}," in told or f" {name}:" in told)
    assert head[0] == "HOST"
    assert ("more hosts" in told) == (count == 60)
    assert "silent" in told, "a host that does not answer is shown before others"


def test_rates_are_those_between_two_looks_where_both_are_known() -> None:
    screen = HostsScreen()
    names = ("a", "b", "c", "d")
    screen.add(_Look(1.0, [host(name, frames_in=100, answering=1 if name == "b" else 2) for name in names]))
    screen.add(
        _Look(
            3.0,
            [
                host("a", frames_in=120),
                host("b", frames_in=300),  # the other worker is back, and has counted
                host("c", frames_in=10),  # one was replaced
                host("d", answering=None),
            ],
        )
    )
    lines = shown(screen)
    assert lines[0].startswith("4 hosts   20 connections   10 frames/s in   20 frames/s out")
    rows = {line.split()[0]: line.split() for line in lines if line and line[0] in names}
    assert {name: row[6:9] for name, row in rows.items()} == {
        "a": ["10", "20", "0"],
        "b": ["-", "-", "-"],
        "c": ["-", "-", "-"],
        "d": ["-", "-", "-"],
    }
    assert [rows[name][3] for name in names] == ["2", "2", "2", "0/2"]


def test_server_that_is_away_is_waited_for() -> None:
    screen = HostsScreen()
    screen.add(_Look(1.0, [host("a")]))
    screen.away("wspulse: no server at ipc:///x within 3 s")
    assert "no server at ipc:///x within 3 s; waiting for it" in " ".join(shown(screen))
