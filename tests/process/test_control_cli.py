"""The subcommands that steer a server, as a shell runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.support.processes.server_process import ServerProcess, serve_process

RUN = "from wspulse.supervisor.cli import main; raise SystemExit(main())"


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with serve_process("--app", "relay", workers=2) as server:
        yield server


def wspulse(server: ServerProcess | None, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    where = ["--control", str(server.control)] if server is not None else []
    return subprocess.run(
        [sys.executable, "-c", RUN, *words, *where],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_send_and_broadcast_take_json_from_the_argument_and_from_stdin(server: ServerProcess) -> None:
    with connect(f"{server.url}?id=alice&room=den") as client:
        assert wspulse(server, "send", "alice", '{"a": 1}', "--event", "x", "--id", "7").returncode == 0
        assert client.recv(timeout=5) == '{"event":"x","payload":{"a": 1},"id":"7"}'
        assert wspulse(server, "broadcast", "den", stdin="[1]\n").returncode == 0
        assert client.recv(timeout=5) == '{"payload":[1]}'
        assert wspulse(server, "broadcast", "den", "--text", "hello").returncode == 0
        assert client.recv(timeout=5) == '{"payload":"hello"}'
        assert wspulse(server, "broadcast", "den", "1", "--exclude", "bob", "--exclude", "alice").returncode == 0
        assert wspulse(server, "broadcast", "den", "2", "--exclude", "bob").stdout == "sent to 1 session\n"
        assert client.recv(timeout=5) == '{"payload":2}'


def test_lists_are_tables_for_people_and_json_for_programs(server: ServerProcess) -> None:
    with connect(f"{server.url}?id=alice&room=den"):
        rooms = wspulse(server, "rooms")
        assert rooms.stdout == "ROOM  CONNECTIONS\nden             1\n"
        assert json.loads(wspulse(server, "rooms", "--json").stdout) == [{"id": "den", "connections": 1}]
        found = wspulse(server, "connections", "den").stdout.splitlines()
        assert found[0].split() == ["CONNECTION", "ROOMS", "SHARD", "STATE", "SINCE", "QUEUED"]
        assert found[1].split()[:2] == ["alice", "den"]
        stats = json.loads(wspulse(server, "stats", "--json").stdout)
        assert [worker["state"] for worker in stats["workers"]] == ["ready", "ready"]
        assert "1 connection, 1 room, " in wspulse(server, "stats").stdout
        assert wspulse(server, "kick", "alice").returncode == 0


def test_stats_and_rooms_agree_on_the_number_of_rooms(server: ServerProcess) -> None:
    with ExitStack() as stack:
        for number in range(12):  # the members of each room are on both shards, most likely
            stack.enter_context(connect(f"{server.url}?id=user-{number}&room=room-{number % 3}"))
        listed = json.loads(wspulse(server, "rooms", "--json").stdout)
        assert len(listed) == 3
        assert ", 3 rooms, " in wspulse(server, "stats").stdout
        assert json.loads(wspulse(server, "stats", "--json").stdout)["totals"]["rooms"] == 3
        assert "   3 rooms   " in wspulse(server, "top", "--period", "0.1").stdout


def test_servers_are_listed_and_found_by_their_file(server: ServerProcess, tmp_path: Path) -> None:
    (mine,) = [row for row in json.loads(wspulse(None, "servers", "--json").stdout) if row["pid"] == server.pid]
    assert (mine["urls"], mine["control"], mine["workers"]) == ([server.url], server.control, 2)
    file = tmp_path / "wspulse.toml"
    file.write_text(f"port = {server.port}\n")
    assert f"pid {server.pid}," in wspulse(None, "stats", "--config", str(file)).stdout
    absent = wspulse(None, "stats", "--control", f"ipc://{tmp_path}/none")
    assert absent.returncode == 3
    assert f"  {server.url}, pid {server.pid}\n" in absent.stderr


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("kick", "nobody"), 1, "wspulse: connection not found: nobody\n"),
        (("restart", "7"), 1, "allowed: 0 … 1"),
        (("restart", "x"), 2, "is not an integer"),
        (("send", "alice", "{x"), 2, "is not JSON"),
        (("send", "alice"), 2, "stdin is empty"),
        (("send",), 2, "required: CONNECTION"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    server: ServerProcess, words: tuple[str, ...], code: int, text: str
) -> None:
    ended = wspulse(server, *words)
    assert ended.returncode == code
    assert text in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_absent_server_is_exit_code_3(tmp_path: Path) -> None:
    ended = wspulse(None, "stats", "--control", f"ipc://{tmp_path}/none", "--timeout", "0.2")
    assert ended.returncode == 3
    assert f"nothing runs here (looked at ipc://{tmp_path}/none: " in ended.stderr


def test_events_are_printed_as_they_happen(server: ServerProcess) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, "events", "connect.", "--json", "--control", str(server.control)],
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        with connect(f"{server.url}?id=first"):
            pass
        for number in range(1000):
            with connect(f"{server.url}?id=user-{number}"):
                pass
            if process.poll() is not None or _readable(process.stdout.fileno()):
                break
        event = json.loads(process.stdout.readline())
        assert event["kind"] == "connect"
        assert event["room"] == "lobby"
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _readable(fd: int) -> bool:
    import select

    return bool(select.select([fd], [], [], 0.02)[0])


def test_keygen_writes_a_secret_that_only_its_owner_reads(tmp_path: Path) -> None:
    ended = wspulse(None, "keygen", "mine", "--folder", str(tmp_path))
    assert ended.returncode == 0
    assert (tmp_path / "mine.key_secret").stat().st_mode & 0o777 == 0o600
    assert wspulse(None, "keygen", "mine", "--folder", str(tmp_path)).returncode == 1


def test_reload_and_shutdown_return_when_they_are_done() -> None:
    with serve_process("--app", "relay", workers=2) as server:
        before = server.worker_pids()
        assert wspulse(server, "restart", "1").returncode == 0
        assert wspulse(server, "reload").returncode == 0
        assert not set(before.values()) & set(server.worker_pids().values())
        assert wspulse(server, "shutdown").returncode == 0
        assert server.wait() == 0
