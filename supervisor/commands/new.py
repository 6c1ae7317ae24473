"""`wspulse new DIR`: a project to begin with, and the commands that come next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from wspulse.supervisor.commands.parser import CommandParser, UnparsableError
from wspulse.supervisor.commands.terminal import exit_code_of, print_error, print_text
from wspulse.supervisor.errors import StartError
from wspulse.supervisor.starter.starter import write_project

__all__ = ["new"]


def new(argv: Sequence[str]) -> int:
    """`wspulse new ...`. Returns 0 when the project is there, 1 where it could not be written, 2 where something else is."""
    return exit_code_of(lambda: _new(argv))


def _new(argv: Sequence[str]) -> int:
    parser = CommandParser(
        prog="wspulse new",
        description="Create a starter project: a chat with its test, page, settings, Dockerfile and systemd unit.",
    )
    parser.add_argument("folder", metavar="DIR", help="a new or empty folder; the project is named after it")
    try:
        folder = Path(parser.parse_mixed(argv).folder)
        files = write_project(folder)
    except UnparsableError as error:
        print_error(f"wspulse: {error} (see {parser.prog} --help)")
        return 2
    except StartError as error:
        print_error(str(error))
        return error.exit_code
    lines = [f"{len(files)} files:", *(f"  {file}" for file in files), "", "next:"]
    if folder.resolve() != Path.cwd():
        lines.append(f"  cd {shlex.quote(str(folder))}")
    print_text("\n".join([*lines, '  pip install -e ".[test]"', "  pytest", "  wspulse serve --config wspulse.toml"]))
    return 0
