"""`CommandParser`: the parser of all command lines. It says what is wrong by an exception; in which words a person reads
that, and with which exit code the program ends, the command decides.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from wspulse.supervisor.commands.terminal import print_text
from wspulse.supervisor.settings.kinds import Kind

__all__ = ["CommandParser", "UnparsableError", "argument_of"]

_NO_OPTION = "\0"
"""Before a word that looks like an option and is none. No argument of a process can contain it."""


class UnparsableError(Exception):
    """The arguments are wrong. The text is argparse's; where it is about one argument, `argument` is that one's name and
    `problem` what is wrong with it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.argument, self.problem = "", message
        if message.startswith("argument "):
            self.argument, _, self.problem = message.removeprefix("argument ").partition(": ")


class CommandParser(argparse.ArgumentParser):
    """Flags are to be given in full: a shorter one could mean another flag in the next version."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def add_argument(self, *names: Any, **settings: Any) -> argparse.Action:
        if names and not names[0].startswith("-"):
            settings["type"] = _read_with(settings.get("type", str))
        return super().add_argument(*names, **settings)

    def parse_mixed(self, words: Sequence[str]) -> argparse.Namespace:
        """What the words mean, where options may stand between the others. Behind `--` there are no options: ids may begin with
        a dash. argparse forgets that when it takes options first, so these words are marked. Raises UnparsableError."""
        before = list(words)
        behind: list[str] = []
        if "--" in before:
            position = before.index("--")
            before, behind = before[:position], before[position + 1 :]
        marked = [f"{_NO_OPTION}{word}" if word.startswith("-") else word for word in behind]
        return self.parse_intermixed_args([*before, *marked])

    def error(self, message: str) -> NoReturn:
        """Raises UnparsableError."""
        raise UnparsableError(message.replace(_NO_OPTION, ""))

    def print_help(self, file: Any = None) -> None:
        """To stdout, at once. Raises OutputError."""
        if file is not None:
            super().print_help(file)
            return
        print_text(self.format_help().rstrip("\n"))


def argument_of(kind: Kind) -> Callable[[str], Any]:
    """The `type` of an argument that is read as a setting of that kind is."""

    def read(text: str) -> Any:
        try:
            return kind.from_text(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _read_with(read: Callable[[str], Any]) -> Callable[[str], Any]:
    def read_word(word: str) -> Any:
        text = word.removeprefix(_NO_OPTION)
        try:
            return read(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"invalid {read.__name__} value: {text!r}") from None

    return read_word
