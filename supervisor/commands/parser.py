"""`CommandParser`: the parser of all command lines. It says what is wrong by an exception; in which words a person reads
that, and with which exit code the program ends, the command decides.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from wspulse.supervisor.commands.terminal import print_text
from wspulse.supervisor.settings.kinds import Kind

__all__ = ["CommandParser", "UnparsableError", "argument_of", "did_you_mean"]

_NO_OPTION = "\0"
"""Before a word that looks like an option and is none. No argument of a process can contain it."""


class UnparsableError(Exception):
    """The arguments are wrong. The text says which one and why."""


class CommandParser(argparse.ArgumentParser):
    """Flags are to be given in full: a shorter one could mean another flag in the next version."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def add_argument(self, *names: Any, **settings: Any) -> argparse.Action:
        if names and not names[0].startswith("-"):
            settings["type"] = _read_with(settings.get("type", str))
        return super().add_argument(*names, **settings)

    def parse_whole(self, words: Sequence[str]) -> argparse.Namespace:
        """What the words mean. Raises UnparsableError."""
        found, unknown = self.parse_known_args(list(words))
        self._refuse(unknown)
        return found

    def parse_mixed(self, words: Sequence[str]) -> argparse.Namespace:
        """The same where options may stand between the others. Behind `--` there are no options: ids may begin with a dash.
        argparse forgets that when it takes options first, so these words are marked. Raises UnparsableError."""
        before = list(words)
        behind: list[str] = []
        if "--" in before:
            position = before.index("--")
            before, behind = before[:position], before[position + 1 :]
        marked = [f"{_NO_OPTION}{word}" if word.startswith("-") else word for word in behind]
        found, unknown = self.parse_known_intermixed_args([*before, *marked])
        self._refuse(unknown)
        return found

    def _refuse(self, unknown: Sequence[str]) -> None:
        """Raises UnparsableError for words that nothing here takes: an option rather than what seems to be its value."""
        if not unknown:
            return
        option = next((word.partition("=")[0] for word in unknown if word.startswith("-")), None)
        if option is None:
            self.error(f"unexpected argument: {unknown[0]}")
        self.error(f"there is no option {option}{did_you_mean(option, self._option_string_actions)}")

    def error(self, message: str) -> NoReturn:
        """Raises UnparsableError."""
        raise UnparsableError(message.replace(_NO_OPTION, "").removeprefix("argument "))

    def print_help(self, file: Any = None) -> None:
        """To stdout, at once. Raises OutputError."""
        if file is not None:
            super().print_help(file)
            return
        print_text(self.format_help().rstrip("\n"))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message about a word that is unknown: the nearest that is known, or nothing."""
    by_name = {each.lstrip("-"): each for each in known}  # all that begins with dashes would look alike
    close = difflib.get_close_matches(word.lstrip("-"), list(by_name), n=1)
    return f"; did you mean {by_name[close[0]]}?" if close else ""


def argument_of(kind: Kind) -> Callable[[str], Any]:
    """The `type` of an argument that is read as a setting of that kind is."""

    def read(text: str) -> Any:
        try:
            return kind.from_text(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _read_with(read: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda word: read(word.removeprefix(_NO_OPTION))
