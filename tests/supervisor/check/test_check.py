"""`--check`: what it tells of settings and of an application, that it starts nothing, and what it refuses."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.support.http.authority import Authority
from wspulse.supervisor.cli import main
from wspulse.supervisor.cluster import needs
from wspulse.supervisor.commands.doctor import machine

APP = """
import pathlib, threading
from wspulse import MsgpackCodec, Server

print("importing")
threading.Thread(target=threading.Event().wait).start()  # which would keep a process from ending
server = Server(lambda request: ("lobby", ""), codec=MsgpackCodec(), max_message_size=8192, resume_window=30)
without_connect = Server()

@server.on_start
def begin():
    pathlib.Path("started").touch()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("WSPULSE_")]:
        monkeypatch.delenv(name)
    (tmp_path / "checked.py").write_text(APP)
    return tmp_path


def rows(text: str) -> dict[str, list[str]]:
    """The first word of each line, and what follows it in columns."""
    lines = [line.strip() for line in text.splitlines() if line.startswith("  ")]
    return {
        name: [part.strip() for part in rest.split("  ") if part]
        for name, _, rest in (line.partition(" ") for line in lines)
    }


def test_what_would_run_is_told_with_the_source_of_each_value(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "wspulse.toml").write_text('app = "checked:server"\nstall_timeout = 5\nresume_window = 10\n')
    monkeypatch.setenv("WSPULSE_ALLOW_ORIGIN", "https://a.example,https://b.example")
    monkeypatch.setenv("WSPULSE_PORRT", "1")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = [
            "--config",
            "wspulse.toml",
            "--workers",
            "3",
            "--port",
            str(port),
            "--codec",
            "raw",
            "--path",
            "/chat",
        ]
        assert main(["serve", "--check", *arguments]) == 0
    told, logged = capfd.readouterr()
    assert rows(told) == {
        "application": ["checked:server (checked.py)"],
        "on": [f"ws://127.0.0.1:{port}/chat"],
        "workers": ["3", "--workers"],
        "control": ["a socket in the runtime directory"],
        "app": ["checked:server", "wspulse.toml: app"],
        "port": [str(port), "--port"],
        "path": ["/chat", "--path"],
        "stall_timeout": ["5 s", "wspulse.toml: stall_timeout"],
        "resume_window": ["10 s", "wspulse.toml: resume_window"],
        "max_message_size": ["8192 bytes", "the application"],
        "codec": ["raw", "--codec"],
        "allow_origin": ["https://a.example, https://b.example", "WSPULSE_ALLOW_ORIGIN"],
    }
    assert "unknown WSPULSE_* variables: WSPULSE_PORRT" in told
    assert "importing" in logged, "what an application prints is not mixed in"
    assert not (folder / "started").exists()


def test_without_any_setting_the_relay_would_run(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--check"]) == 0
    told = rows(capfd.readouterr().out)
    assert told["application"] == ["relay"]
    assert told["on"] == ["ws://127.0.0.1:8000/ws"]
    assert "(the cores available to this process)" in told["workers"][0]
    assert "codec" not in told, "it is the default one"


def test_several_places_are_all_told(capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["--app", "echo", "--host", "::1", "--host", "127.0.0.2", "--unix-socket", "/run/x.sock"]
    assert main(["serve", "--check", *arguments]) == 0
    assert rows(capfd.readouterr().out)["on"] == ["ws://[::1]:8000/ws, ws://127.0.0.2:8000/ws, unix:/run/x.sock:/ws"]


def test_certificate_is_looked_at(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    certificate, key = Authority().certificate(folder)
    arguments = ["serve", "--check", "--app", "echo", "--tls-key", str(key), "--tls-cert"]
    assert main([*arguments, str(certificate)]) == 0
    assert rows(capfd.readouterr().out)["on"] == ["wss://127.0.0.1:8000/ws"]
    assert main([*arguments, str(key)]) == 2
    assert "are not a certificate and its key in PEM" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--app", "checked:nope"],
            "wspulse: app: checked has no attribute 'nope'; its servers are server, without_connect",
        ),
        (["--app", "checked:without_connect"], "wspulse: connect: required"),
        (["--app", "checked:server", "--pong-wait", "5"], "wspulse: --pong-wait: 5 must be above ping_period (10)"),
        (["--app", "missing:server"], "No module named 'missing'"),
        (["--app", "exits:server"], "SystemExit: 3"),
        (["--app", "dies:server"], "the process that loaded dies:server ended with exit code 7"),
        (["--app", "hangs:server", "--give-up-after", "1"], "hangs:server was not loaded within 1 s"),
        (["--control", "tcp://0.0.0.0:5000"], "can be reached from other machines"),
        (["--control", "ipc:///nowhere/at/all.sock"], "its folder /nowhere/at: No such file or directory"),
        (["--control-server-key", "key"], "--control-client-keys: is missing"),
        (["--port", "70000"], "--port: "),
        (["--config", "missing.toml"], "missing.toml: cannot be read"),
    ],
)
def test_what_would_not_start_ends_with_2_and_says_why(
    folder: Path, arguments: list[str], told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "exits.py").write_text("raise SystemExit(3)")
    (folder / "dies.py").write_text("import os; os._exit(7)")
    (folder / "hangs.py").write_text("import threading; threading.Event().wait()")
    assert main(["serve", "--check", *arguments]) == 2
    out, logged = capfd.readouterr()
    assert out == ""
    assert told in logged


def test_password_of_a_nats_user_is_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--check", "--cluster", "nats://me:secret@10.0.0.5:4222,nats://10.0.0.6"]) == 0
    told = capfd.readouterr()
    assert rows(told.out)["cluster"] == ["nats://10.0.0.5:4222, nats://10.0.0.6", "--cluster"]
    assert main(["serve", "--check", "--clusters", "nats://me:secret@10.0.0.5:4222", "me://you:secret@host"]) == 2
    assert "secret" not in told.err + capfd.readouterr().err


def test_extra_for_several_hosts_that_is_missing_is_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(needs, "find_spec", lambda name: None)
    assert main(["serve", "--check", "--cluster", "nats://10.0.0.5"]) == 2
    assert capfd.readouterr().err == (
        "wspulse: --cluster needs the package nats-py; install it: pip install 'wspulse[cluster]'\n"
    )
    monkeypatch.setattr(machine, "missing_of_extras", lambda name: {"cluster": ["nats-py", "nkeys"], "top": []})
    main(["doctor", "--port", "0", "--cluster", "nats://10.0.0.5"])
    told = capfd.readouterr().out
    assert "--cluster needs nats-py and nkeys: not installed" in told
    assert 'pip install "wspulse[cluster]"' in told
