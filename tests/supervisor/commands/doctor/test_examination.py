"""`wspulse doctor`: what it decides from facts, and that it reads them from a machine."""

from __future__ import annotations

import json
import os
import resource
import socket
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.http.authority import Authority
from wspulse.actors.mesh.placement import Placement
from wspulse.supervisor.cli import main
from wspulse.supervisor.commands.doctor.examination import Finding, Plan, examine
from wspulse.supervisor.commands.doctor.machine import Machine, read_machine
from wspulse.supervisor.host import installed
from wspulse.supervisor.premises.runtime_dir import RuntimeDir

GOOD = Machine(
    python=(3, 12, 1),
    uvloop="0.21.0",
    missing={"http": [], "titles": [], "reload": []},
    machine_cores=8,
    usable_cores=4,
    descriptors_soft=1024,
    descriptors_hard=1 << 20,
    system_files=1 << 22,
    somaxconn=4096,
    tcp_memory=4 << 30,
    conntrack=None,
    local_ports=64_000,
    memory=16 << 30,
    runtime_dir_problem=None,
    port_problem=None,
)
PLAN = Plan(50_000, 4, unix_socket="/run/x/wspulse.sock", extras={"http": "--http-app"})


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A runtime directory."""
    (tmp_path / "run").mkdir(mode=0o700)
    return tmp_path / "run"


def findings(facts: Mapping[str, Any] | None = None, plan: Plan = PLAN) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(replace(GOOD, **(facts or {})), plan)}


def test_good_machine_has_nothing_to_change() -> None:
    assert {finding.level for finding in findings().values()} == {"fine"}


@pytest.mark.parametrize(
    ("fact", "value", "name", "remedy"),
    [
        ("python", (3, 10, 0), "python", "3.11"),
        ("uvloop", None, "uvloop", "pip install uvloop"),
        ("descriptors_hard", 4096, "descriptors", "LimitNOFILE=16384"),
        ("system_files", 10_000, "files", "fs.file-max"),
        ("memory", 512 << 20, "memory", "memory"),
        ("tcp_memory", 100 << 20, "tcp memory", "net.ipv4.tcp_mem"),
        ("conntrack", 32_768, "conntrack", "nf_conntrack_max=131072"),
        (
            "runtime_dir_problem",
            "the runtime directory /x is accessible to other users",
            "runtime directory",
            "XDG_RUNTIME_DIR",
        ),
        ("port_problem", "127.0.0.1:8000 is in use; choose another --port", "port", "choose another"),
        ("unix_socket_problem", "the folder /run/x does not exist; create it", "unix socket", "create it"),
        (
            "control_problem",
            "other users can write to its folder /x; make a folder: mkdir -m 700 y",
            "control",
            "mkdir",
        ),
        ("certificate_problem", "--tls-cert: it has expired; renew it", "certificate", "renew it"),
        ("missing", {"http": ["uvicorn"]}, "extras", 'pip install "wspulse[http]"'),
    ],
)
def test_what_will_not_do_must_change_and_says_how(fact: str, value: object, name: str, remedy: str) -> None:
    found = findings({fact: value})
    assert found[name].level == "change"
    assert remedy in found[name].remedy
    assert [other for other in found.values() if other.level == "change"] == [found[name]]


@pytest.mark.parametrize(
    ("fact", "value", "name"),
    [
        ("missing", {"titles": ["setproctitle"]}, "titles"),
        ("usable_cores", 2, "cores"),
        ("somaxconn", 128, "backlog"),
        ("tcp_memory", 300 << 20, "tcp memory"),
        ("local_ports", 28_232, "local ports"),
        ("certificate_days", 13, "certificate"),
    ],
)
def test_what_could_be_better_is_advice(fact: str, value: object, name: str) -> None:
    found = findings({fact: value})[name]
    assert found.level == "advice"
    assert found.remedy


def test_what_a_system_does_not_tell_is_unknown_and_changes_nothing() -> None:
    nothing = dict.fromkeys(("system_files", "somaxconn", "tcp_memory", "local_ports", "memory", "descriptors_hard"))
    found = findings(nothing)
    assert {finding.level for finding in found.values()} == {"fine", "unknown"}


@pytest.mark.parametrize("workers", [1, 4, 16])
def test_connections_that_are_said_to_fit_do_fit_the_fullest_worker(workers: int) -> None:
    hard = 4096
    text = findings({"descriptors_hard": hard}, Plan(10, workers))["descriptors"].text
    most = int(text.split("up to ")[1].split()[0])
    assert findings({"descriptors_hard": hard}, Plan(most, workers))["descriptors"].level == "fine"
    assert findings({"descriptors_hard": hard}, Plan(most + 10 * workers, workers))["descriptors"].level == "change"
    placement = Placement(workers)
    counts = [0] * workers
    for number in range(10_000):
        counts[placement.shard_of(f"user-{number}")] += 1
    assert max(counts) < 10_000 / workers * 1.2, "the machine is asked for a fifth more than an even share"


def test_machine_is_read_from_its_files(tmp_path: Path, runtime: Path) -> None:
    for name, text in {
        "proc/sys/net/core/somaxconn": "128\n",
        "proc/sys/net/ipv4/tcp_mem": "10\t20\t30\n",
        "proc/sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
        "proc/sys/fs/file-nr": "100\t0\t1000\n",
        "proc/meminfo": "MemTotal: 9 kB\nMemAvailable:  4000 kB\n",
        "proc/self/cgroup": "0::/here\n",
        "sys/fs/cgroup/here/memory.max": "2048000\n",
        "sys/fs/cgroup/here/memory.current": "1024000\n",
        "sys/fs/cgroup/memory.max": "max\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    machine = read_machine(["127.0.0.1"], 0, tmp_path, {"XDG_RUNTIME_DIR": str(runtime)})
    assert (machine.somaxconn, machine.local_ports, machine.system_files) == (128, 28_232, 900)
    assert machine.tcp_memory == 30 * os.sysconf("SC_PAGE_SIZE")
    assert machine.memory == 1_024_000
    assert machine.descriptors_soft in (resource.getrlimit(resource.RLIMIT_NOFILE)[0], None)
    assert (machine.runtime_dir_problem, machine.port_problem, machine.conntrack) == (None, None, None)
    assert list((runtime / "wspulse").iterdir()) == [], "what was tried is removed"


def test_machine_without_these_files_is_read_too(tmp_path: Path) -> None:
    machine = read_machine(["127.0.0.1"], 0, tmp_path)
    assert (machine.somaxconn, machine.tcp_memory, machine.memory, machine.system_files) == (None, None, None, None)


def test_taken_port_and_open_runtime_directory_are_found(runtime: Path) -> None:
    (runtime / "wspulse").mkdir(parents=True)
    (runtime / "wspulse").chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        machine = read_machine(["127.0.0.1"], taken.getsockname()[1], environ={"XDG_RUNTIME_DIR": str(runtime)})
    assert machine.port_problem is not None
    assert "in use" in machine.port_problem
    assert machine.runtime_dir_problem is not None
    assert "accessible to other users" in machine.runtime_dir_problem


def test_command_line_tells_in_text_and_in_json_and_by_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["doctor", "--connections", "10", "--port", str(port)]) == 1
        text = capsys.readouterr().out
        assert "1 thing to change" in text
        assert f"{port} is in use by " in text
        assert f"(pid {os.getpid()})" in text
        assert main(["doctor", "--connections", "10", "--port", str(port), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["fine"] is False
    assert [each["name"] for each in report["findings"] if each["level"] == "change"] == ["port"]
    assert main(["doctor", "--connections", "10", "--port", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fine"] is True


def test_settings_are_read_as_the_server_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wspulse.toml").write_text('workers = 3\nhost = ["127.0.0.1", "127.0.0.2"]\nport = 1\nreload = true\n')
    monkeypatch.setenv("WSPULSE_CONTROL", "tcp://0.0.0.0:5000")
    monkeypatch.setenv("WSPULSE_WORKRES", "4")
    monkeypatch.setattr(installed, "installed_version", lambda package: None if package == "watchfiles" else "1")
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "--config", "wspulse.toml", "--port", "0", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["plan"] == {
        "connections": 10_000,
        "workers": 3,
        "host": "127.0.0.1",
        "hosts": ["127.0.0.1", "127.0.0.2"],
        "port": 0,
        "unix_socket": None,
    }
    told = {each["name"]: each["text"] for each in report["findings"] if each["level"] in ("change", "advice")}
    assert told["extras"] == "--reload needs watchfiles: not installed"
    assert "tcp://0.0.0.0:5000 can be reached from other machines" in told["control"]
    assert told["settings"] == "unknown WSPULSE_* variables: WSPULSE_WORKRES"


@pytest.mark.parametrize(("argument", "connections"), [([], 777), (["--connections", "5"], 5)])
def test_number_of_connections_is_that_of_the_settings_unless_it_is_given(
    argument: list[str], connections: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WSPULSE_MAX_CONNECTIONS", "777")
    main(["doctor", "--port", "0", "--json", *argument])
    assert json.loads(capsys.readouterr().out)["plan"]["connections"] == connections


def test_certificate_of_the_settings_is_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def found() -> dict[str, str]:
        main(["doctor", "--config", str(tmp_path / "wspulse.toml"), "--port", "0", "--json"])
        report = json.loads(capsys.readouterr().out)
        return next(each for each in report["findings"] if each["name"] == "certificate")

    # Half a day more: while the test runs, what is left falls under the whole days.
    certificate, key = Authority().certificate(tmp_path, expires=datetime.now(UTC) + timedelta(days=20, hours=12))
    (tmp_path / "wspulse.toml").write_text(f'tls_cert = "{certificate}"\ntls_key = "{key}"\n')
    assert found() == {"name": "certificate", "level": "fine", "text": "valid for 20 more days", "remedy": ""}
    key.unlink()
    assert found()["text"] == f"--tls-key: {key} cannot be read: No such file or directory"


def test_unix_socket_is_looked_at_and_then_no_port(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wspulse.toml").write_text(f'unix_socket = "{tmp_path}/gone/x.sock"\n')
    main(["doctor", "--config", str(tmp_path / "wspulse.toml"), "--json"])
    report = json.loads(capsys.readouterr().out)
    found = {each["name"]: (each["level"], each["text"]) for each in report["findings"]}
    assert found["unix socket"] == ("change", f"the folder {tmp_path}/gone does not exist")
    assert "port" not in found


def test_wspulse_that_has_the_port_is_named(runtime: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(runtime)}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        claimed = RuntimeDir.claim(port, environ, address="127.0.0.1")
        try:
            machine = read_machine(["127.0.0.1"], port, environ=environ)
        finally:
            claimed.release()
    assert machine.port_problem is not None
    assert machine.port_problem.startswith(f"another wspulse server (pid {os.getpid()}) uses port {port}")


@pytest.mark.parametrize("arguments", [["--connections", "0"], ["--connections", "x"], ["--port", "70000"], ["--wat"]])
def test_wrong_arguments_end_with_2(arguments: list[str]) -> None:
    assert main(["doctor", *arguments]) == 2
