"""Printing for people who read no more, and of what strangers have written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from wspulse.supervisor.commands.terminal import printable


def run_unread(arguments: Sequence[str]) -> tuple[int, str]:
    """Run a program whose stdout nobody reads; its exit code and stderr."""
    # As for most people: what is printed is written at exit at the latest.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    reader, writer = os.pipe()
    os.close(reader)
    try:
        program = [sys.executable, "-c", "import sys; from wspulse.supervisor.cli import main; sys.exit(main())"]
        ended = subprocess.run(
            [*program, *arguments],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            timeout=30,
            check=False,
        )
    finally:
        os.close(writer)
    return ended.returncode, ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["serve", "--help"],
        ["serve", "--version"],
        ["serve", "--explain", "all"],
        ["kick", "--help"],
        ["doctor", "--help"],
        ["keygen", "one"],
    ],
    ids=" ".join,
)
def test_command_whose_output_nobody_reads_ends_with_zero_and_without_a_word(
    arguments: list[str], tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_unread(arguments) == (0, "")


def test_control_characters_are_replaced_and_all_else_stays() -> None:
    assert printable("né 漢 👍") == "né 漢 👍"
    assert printable("a\x1b[2Jb\nc\u202e") == "a�[2Jb�c�"
