"""The record in a runtime directory: what it keeps, and which servers are found by it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wspulse.supervisor.premises.record import Record, read_record, running_servers, write_record
from wspulse.supervisor.premises.runtime_dir import RuntimeDir


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "run").mkdir(mode=0o700)
    return {"XDG_RUNTIME_DIR": str(tmp_path / "run")}


@pytest.mark.parametrize(
    "record",
    [
        Record(17, 3, "127.0.0.1"),
        Record(17),
        Record(17, 0, "", "ipc:///a b/c\u2028d.sock", ("ws://127.0.0.1:8000/ws", "unix:/run/a b.sock:/ws")),
        Record(17, 1, "::", "tcp://[::1]:5000"),
    ],
)
def test_what_was_written_is_read(record: Record, tmp_path: Path) -> None:
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


@pytest.mark.parametrize(("text", "pid"), [("rubbish", None), ("", ""), ("\n", ""), ("7", 7), ("² 1", None)])
def test_rubbish_is_no_error(text: str, pid: object, tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(text)
    record = read_record(tmp_path)
    assert (
        (record is None)
        if pid == ""
        else (record is not None and (record.pid, record.run) == (pid, 0 if pid else record.run))
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_record_of_another_user_counts_for_nothing(tmp_path: Path) -> None:
    write_record(tmp_path, Record(17))
    os.chown(tmp_path / "lock", 12345, -1)
    assert read_record(tmp_path) is None


def test_running_servers_are_those_whose_folder_is_locked(environ: dict[str, str]) -> None:
    mine = Path(environ["XDG_RUNTIME_DIR"])
    second, first = RuntimeDir.claim(9001, environ), RuntimeDir.claim(9000, environ, address="127.0.0.1")
    beside = RuntimeDir.claim(9000, environ, address="127.0.0.2")
    first.tell("ipc:///elsewhere/c.sock", ["ws://127.0.0.1:9000/ws"])
    crashed = RuntimeDir.claim(9002, environ)
    os.close(crashed._lock)
    (mine / "wspulse" / "notes").touch()
    found = [server for server in running_servers(environ) if server.folder.is_relative_to(mine)]
    assert [(server.folder.name, server.port) for server in found] == [
        ("9000", 9000),
        ("9001", 9001),
        ("9000@127.0.0.2", None),
    ]
    assert found[0].record == Record(
        os.getpid(), 0, "127.0.0.1", "ipc:///elsewhere/c.sock", ("ws://127.0.0.1:9000/ws",)
    )
    for claimed in (first, second, beside):
        claimed.release()
    assert [server for server in running_servers(environ) if server.folder.is_relative_to(mine)] == []
