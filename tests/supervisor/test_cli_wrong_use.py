"""What was typed or written wrongly: one line that says so, and exit code 2; a server that is not there: 3, at once."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from wspulse.supervisor.cli import main

MUCH = "1" + "0" * 500
TOO_MUCH = "1" + "0" * 5000


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code and the line on stderr; nothing is on stdout."""
    code = main(arguments)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("wspulse")
    line, *servers = err.splitlines()
    assert bool(servers) == line.endswith("; your servers on this machine:")
    assert MUCH not in err
    return code, line


@pytest.mark.parametrize(
    "arguments",
    [
        *(["stats", "--timeout", text] for text in ("inf", "nan", "-inf", "1e400", "-1", "soon", MUCH, TOO_MUCH)),
        *(["stats", "--port", text] for text in ("0", "-5", "65536", "eight", MUCH, TOO_MUCH)),
        *(["stats", "--control", text] for text in ("foo", "tcp://localhost", "ipc://", "tcp://127.0.0.1:99999", "")),
        ["stats", "--control", "tcp://127.0.0.1:*"],
        ["stats", "--control", "ipc://" + "a" * 108],
        ["stats", "--control", "ipc:///tmp/a", "--port", "8000"],
        *(["top", "--period", text] for text in ("inf", "nan", "-1")),
        *(["restart", text] for text in ("-1", "1024", "one", MUCH, TOO_MUCH)),
        *(["serve", "--resume-window", text] for text in ("inf", "nan", "1e400", "-1", MUCH, TOO_MUCH)),
        *(["serve", "--workers", text] for text in ("0", "1025", "-1", "inf", MUCH, TOO_MUCH)),
        ["stats", "--nonsense"],
        ["restart"],
        ["nothing"],
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_wrong_argument_is_told_in_a_line_and_ends_with_two(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WSPULSE_CONTROL", raising=False)
    if arguments[1:] == ["--control", ""]:
        monkeypatch.setenv("WSPULSE_CONTROL", "foo")
    assert told(arguments, capsys)[0] == 2


@pytest.mark.parametrize("text", ["0", "65536", "eight", "-5", "../8000", MUCH])
def test_wrong_variable_of_the_port_is_told_in_a_line_and_ends_with_two(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WSPULSE_PORT", text)
    code, line = told(["stats"], capsys)
    assert code == 2
    assert "WSPULSE_PORT" in line


@pytest.mark.parametrize(
    "text",
    [
        f"resume_window = {MUCH}",
        f"resume_window = -{MUCH}",
        f"resume_window = {TOO_MUCH}",
        f"resume_window = 0x{MUCH * 20}",
        "resume_window = inf",
        "resume_window = nan",
        f"port = {MUCH}",
        f"port = {TOO_MUCH}",
        f"port = 0x{MUCH * 20}",
        "port = 2024-01-01",
        f"app = [{MUCH}, {MUCH}, {MUCH}, {MUCH}]",
        f"log_level = [0x{MUCH * 20}]",
        "log_level = ['info']",
        "subprotocol = [[], 1]",
        "suspend_on_clean_close = 'yes'",
        f"'{MUCH}' = 1",
        "port = " + "[" * 5_000,
        "port = 1\nport = 2",
        "port",
        "\x00",
    ],
    ids=lambda text: text[:40],
)
def test_wrong_file_is_told_in_a_line_and_ends_with_two(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    code, line = told(["serve", "--config", str(file)], capsys)
    assert code == 2
    assert f"wspulse: {file}: " in line
    assert ("Exceeds the limit" in line) == (TOO_MUCH in text)  # else Python speaks instead of us


def test_file_that_is_no_text_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "c.toml"
    file.write_bytes(b"port = 1 # \xff")
    assert told(["serve", "--config", str(file)], capsys)[0] == 2


@pytest.mark.parametrize("name", ["none.sock", "no/folder.sock", "file/none.sock"])
def test_server_whose_socket_is_not_there_is_absent_at_once(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    before = time.monotonic()
    code, line = told(["stats", "--control", f"ipc://{tmp_path}/{name}"], capsys)
    assert time.monotonic() - before < 5
    assert code == 3
    assert f"nothing runs here (looked at ipc://{tmp_path}/{name}: the socket does not exist)" in line


def test_server_that_left_its_socket_behind_is_absent_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "c")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
        left.listen()
    before = time.monotonic()
    code, line = told(["stats", "--control", f"ipc://{path}"], capsys)
    assert time.monotonic() - before < 5
    assert code == 3
    assert "nothing listens there any more" in line


def test_frame_without_an_input_to_read_it_from_is_wrong_use(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert told(["send", "alice"], capsys)[0] == 2


def test_what_is_wrong_steers_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, line = told(["stats", "--control", f"ipc://{tmp_path}/\x1b[2J\n"], capsys)
    assert line.removesuffix("\n").isprintable()
