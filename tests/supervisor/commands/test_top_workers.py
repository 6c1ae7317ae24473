"""The live view."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from wspulse.supervisor.commands.top import screen as module
from wspulse.supervisor.commands.top import workers as workers_module
from wspulse.supervisor.commands.top.screen import _keys, run_top
from wspulse.supervisor.commands.top.workers import WorkersScreen, _Look
from wspulse.supervisor.protocol.types import RoomInfo, ServerStats, Totals, WorkerStats

NAMES = ["SHARD", "PID", "STATE", "CONNS", "ROOMS", "IN/S", "OUT/S", "DROP/S", "DROPPED", "QUEUED", "LAG", "MEMORY"]
NAMES += ["RESTARTS", "UP"]


def stats(workers: int = 2, *, frames_in: int = 0, ill: int | None = None) -> ServerStats:
    told = [
        WorkerStats(shard=shard, pid=100 + shard, state="silent" if shard == ill else "ready", frames_in=frames_in)
        for shard in range(workers)
    ]
    return ServerStats(version="1.2.3", pid=9, uptime_s=5.0, rss_bytes=None, totals=Totals(connections=1), workers=told)


def shown(width: int, height: int, look: _Look) -> list[str]:
    screen = WorkersScreen()
    screen.add(look)
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    with console.capture() as captured:
        console.print(screen.render(width, height))
    return [line.rstrip() for line in captured.get().splitlines()]


def rooms(count: int) -> list[RoomInfo]:
    return [RoomInfo(id=f"room-{number}-{'x' * 60}", connections=number) for number in range(count)]


def test_top_that_was_started_without_an_input_hears_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with _keys() as pressed:
        assert pressed(0.0) == ""


@pytest.mark.parametrize("width", [30, 60, 80, 132])
@pytest.mark.parametrize("workers", [1, 2, 40])
def test_screen_fits_and_says_what_it_leaves_out(width: int, workers: int) -> None:
    lines = shown(width, 24, _Look(1.0, stats(workers, ill=30), rooms(50)))
    assert max(map(len, lines)) <= width
    assert len(lines) <= 24
    head = next(line for line in lines if line.startswith("SHARD")).split()
    told = " ".join(lines)
    for name in NAMES:
        assert (name in head) != (f" {name}," in told or f" {name}:" in told)
    assert ("no room for" in told) == (head != NAMES)
    assert {"SHARD", "STATE", "CONNS"} <= set(head)
    assert "more rooms" in told
    assert ("more workers" in told) == (workers == 40)
    assert ("silent" in told) == (workers == 40), "a worker that is not well is shown before others"


def test_narrow_screen_still_shows_rates_and_delay() -> None:
    head = next(line for line in shown(60, 24, _Look(1.0, stats(), [])) if line.startswith("SHARD")).split()
    assert head[:5] == ["SHARD", "STATE", "CONNS", "IN/S", "OUT/S"]
    assert "LAG" in head


def test_output_that_is_no_terminal_gets_one_table_with_rates(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    looks = iter([_Look(1.0, stats(), rooms(40)), _Look(3.0, stats(frames_in=10), rooms(40))])
    waited: list[float] = []
    monkeypatch.setattr(workers_module, "_look", lambda _control: next(looks))
    monkeypatch.setattr(module, "sleep", waited.append)
    control: Any = type("Pretended", (), {"timeout": 10.0, "endpoint": "ipc:///x"})()
    run_top(control, 2.0)
    lines = capsys.readouterr().out.splitlines()
    assert waited == [2.0]
    assert lines[0] == "wspulse 1.2.3   pid 9   up 5 s   supervisor -"
    assert lines[1].startswith("1 connection   40 rooms   10 frames/s in   ")
    assert lines[3].split() == NAMES
    assert lines[4].split()[:6] == ["0", "100", "ready", "0", "0", "5"]
    assert len([line for line in lines if line.startswith("room-")]) == 40
    assert "\x1b" not in "".join(lines)


def test_server_that_is_away_is_waited_for() -> None:
    screen = WorkersScreen()
    screen.add(_Look(1.0, stats(), []))
    screen.away("wspulse: no server at ipc:///x within 3 s")
    console = Console(file=io.StringIO(), width=60, color_system=None)
    with console.capture() as captured:
        console.print(screen.render(60, 24))
    assert "no server at ipc:///x within 3 s; waiting for it" in captured.get()
