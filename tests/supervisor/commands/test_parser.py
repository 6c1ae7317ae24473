"""What a person reads whose arguments are wrong: each kind of command in its own words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from wspulse.supervisor.check.loading import Loaded
from wspulse.supervisor.cli import SUBCOMMANDS, main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("serve --port", "wspulse: --port: expected one argument (see wspulse serve --help)\n"),
        ("serve --wat", "wspulse: there is no option --wat (see wspulse serve --help)\n"),
        ("serve --por x", "wspulse: there is no option --por; did you mean --port? (see wspulse serve --help)\n"),
        ("serve a:b c:d", "wspulse: unexpected argument: c:d (see wspulse serve --help)\n"),
        ("serve a:b --app c:d", "wspulse: two applications are given: a:b and --app c:d\n"),
        (
            "kick",
            "wspulse: the following arguments are required: CONNECTION (see wspulse kick --help)\n",
        ),
        (
            "kick --port x a",
            "wspulse: --port: 'x' is not an integer; allowed: 1 … 65535 (see wspulse kick --help)\n",
        ),
        ("stats --jso", "wspulse: there is no option --jso; did you mean --json? (see wspulse stats --help)\n"),
        ("brodcast", "wspulse: there is no command 'brodcast'; did you mean broadcast? (see wspulse --help)\n"),
        (
            "chat",
            (
                "wspulse: there is no command 'chat'; to run an application, give MODULE:ATTR, such as chat:server "
                "(see wspulse --help)\n"
            ),
        ),
        ("--port 1", "wspulse: a command comes first, as in: wspulse serve --port (see wspulse --help)\n"),
        ("doctor --wat", "wspulse: there is no option --wat (see wspulse doctor --help)\n"),
        ("doctor --port 70000", "wspulse: --port: 70000 is out of range; allowed: 0 … 65535\n"),
    ],
)
def test_wrong_arguments_end_with_two_and_one_line_that_says_what_is_wrong(
    arguments: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == said


def test_help_is_printed_to_stdout_with_exit_code_zero(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["kick", "--help"])
    assert not ended.value.code
    printed = capsys.readouterr()
    assert printed.out.startswith("usage: wspulse kick ")
    assert (printed.out[-2:] != "\n\n", printed.err) == (True, "")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_overview_lists_all_commands(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: wspulse <command> ...\n")
    assert [line.split()[0] for line in out.splitlines() if line.startswith("  ") and line[2] != " "] == list(
        SUBCOMMANDS
    )


def test_package_is_the_command() -> None:
    ended = subprocess.run([sys.executable, "-m", "wspulse", "--version"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout.split()[0]) == (0, "wspulse")


@pytest.mark.parametrize(
    "arguments",
    [
        "NAME",
        "serve NAME",
        "serve --workers 1 NAME",
        "serve NAME --workers 1",
        "serve --reload NAME",
        "serve --app NAME",
        "NAME --reload",
    ],
)
def test_application_needs_no_flag(
    arguments: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("wspulse.supervisor.check.check._load", lambda settings: Loaded("", {}))
    assert main([*(word.replace("NAME", "chat:server") for word in arguments.split()), "--check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  application  chat:server" in lines
    assert ("--reload" in arguments) == any(line.split()[:2] == ["reload", "."] for line in lines)


def test_folder_behind_reload_stays_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:b").mkdir()
    assert main(["serve", "--reload", "a:b", "--app", "relay", "--check"]) == 0
    assert "  a:b  " in capsys.readouterr().out
