"""Printing for people who read no more, and of what strangers have written."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from wspulse.supervisor.commands.terminal import exit_code_of, print_error, print_text, printable


def run_to(stdout: int | None, arguments: Sequence[str]) -> tuple[int, str]:
    """Run a program with this stdout, or with none; its exit code and stderr."""
    # As for most people: what is printed is written at exit at the latest.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    program = "import sys; from wspulse.supervisor.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, *arguments]
    if stdout is None:
        command = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    ended = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        timeout=30,
        check=False,
    )
    return ended.returncode, ended.stderr


def run_unread(arguments: Sequence[str]) -> tuple[int, str]:
    """Run a program whose stdout nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return run_to(writer, arguments)
    finally:
        os.close(writer)


COMMANDS = (
    ["--help"],
    ["--version"],
    ["serve", "--help"],
    ["serve", "--version"],
    ["serve", "--explain", "all"],
    ["kick", "--help"],
    ["doctor", "--help"],
    ["keygen", "one"],
)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_command_whose_output_nobody_reads_ends_with_zero_and_without_a_word(
    arguments: list[str], tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_unread(arguments) == (0, "")


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_command_whose_output_does_not_fit_says_so_and_ends_with_one(
    arguments: list[str], tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        assert run_to(full, arguments) == (1, "wspulse: cannot write to stdout: No space left on device\n")
    finally:
        os.close(full)


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["doctor"], ["keygen", "one"]], ids=" ".join)
def test_command_that_was_started_without_an_output_says_so_and_ends_with_one(
    arguments: list[str], tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_to(None, arguments) == (1, "wspulse: cannot write to stdout: it is closed\n")


def test_text_that_the_terminal_has_no_letters_for_is_printed_in_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    print_text("1 … 2 → é")
    assert raw.getvalue() == b"1 \\u2026 2 \\u2192 \\xe9\n"


def test_error_is_printed_only_where_it_can_be(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    print_error("wrong")
    monkeypatch.setattr(sys, "stderr", None)
    print_error("not seen")
    with open("/dev/full", "w") as full:  # noqa: PTH123
        monkeypatch.setattr(sys, "stderr", full)
        print_error("not seen")
        monkeypatch.undo()
        with contextlib.suppress(OSError):
            full.close()
    assert tuple(capfd.readouterr()) == ("", "wrong\n")


def test_interrupted_command_has_the_exit_code_of_one() -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    assert exit_code_of(interrupted) == 130


def test_control_characters_are_replaced_and_all_else_stays() -> None:
    assert printable("né 漢 👍") == "né 漢 👍"
    assert printable("a\x1b[2Jb\nc\u202e") == "a�[2Jb�c�"
