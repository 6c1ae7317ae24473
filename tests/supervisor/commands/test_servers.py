"""Which servers run, for people and for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wspulse.supervisor.commands import servers as module
from wspulse.supervisor.commands.servers import AbsentServerError, server_rows, servers_text
from wspulse.supervisor.premises.record import Record, RunningServer
from wspulse.supervisor.protocol.types import ServerStats, Totals, WorkerStats

BY_PORT = RunningServer(Path("/run/8000"), Record(17, 0, "127.0.0.1", "ipc:///run/8000/c", ("ws://127.0.0.1:8000/ws",)))
BESIDE = RunningServer(Path("/run/8000@127.0.0.2"), Record(18, 0, "127.0.0.2", "ipc:///b", ("ws://127.0.0.2:8000/ws",)))
STARTING = RunningServer(Path("/run/9000"), Record(19, 0, "127.0.0.1"))


def test_absence_names_the_servers_that_run_and_how_to_reach_them() -> None:
    error = AbsentServerError("ipc:///x", "the socket does not exist", [BY_PORT, BESIDE, STARTING])
    assert (
        str(error)
        == "wspulse: nothing runs here (looked at ipc:///x: the socket does not exist); your servers on this machine:"
    )
    assert error.lines == [
        "  --port 8000         ws://127.0.0.1:8000/ws, pid 17",
        "  --control ipc:///b  ws://127.0.0.2:8000/ws, pid 18",
        "  --port 9000         starting, pid 19",
    ]
    assert error.error_code == "unavailable"


def test_absence_where_nothing_runs_says_that() -> None:
    error = AbsentServerError("ipc:///x", "gone", [])
    assert str(error).endswith("; none of your servers is running on this machine")
    assert error.lines == []


def test_list_shows_what_each_server_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    stats = ServerStats(
        version="1",
        pid=17,
        uptime_s=61.0,
        rss_bytes=None,
        totals=Totals(connections=3),
        workers=[WorkerStats(shard=shard, pid=20 + shard, state="ready") for shard in range(2)],
    )
    monkeypatch.setattr(module, "running_servers", lambda: [BY_PORT, STARTING])
    monkeypatch.setattr(module, "_stats", lambda control: stats if control else None)
    rows: list[dict[str, Any]] = server_rows()
    assert [(row["port"], row["pid"], row["workers"], row["connections"], row["uptime_s"]) for row in rows] == [
        (8000, 17, 2, 3, 61.0),
        (9000, 19, None, None, None),
    ]
    assert servers_text(rows).splitlines() == [
        "URL                     PID  WORKERS  CONNECTIONS  UP         CONTROL",
        "ws://127.0.0.1:8000/ws   17        2            3  1 min 1 s  ipc:///run/8000/c",
        "-                        19        -            -  -          -",
    ]
    assert servers_text([]) == "none of your servers is running on this machine"


def test_server_that_does_not_answer_is_listed_all_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    silent = RunningServer(Path("/run/8000"), Record(17, 0, "", f"ipc://{tmp_path}/none"))
    monkeypatch.setattr(module, "running_servers", lambda: [silent])
    monkeypatch.setattr(module, "ASK_TIMEOUT_S", 0.05)
    assert [(row["pid"], row["workers"]) for row in server_rows()] == [(17, None)]
