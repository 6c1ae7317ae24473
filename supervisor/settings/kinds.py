"""The kinds of values that settings have: each reads a value from text (flags, variables) and from TOML.

A wrong value raises ValueError with "<value> is ...; allowed: ...", which the caller completes with its source.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from wspulse.actors.values.log_limit import shortened

__all__ = [
    "Addresses",
    "Choice",
    "Folders",
    "Hosts",
    "Integer",
    "Kind",
    "Names",
    "Seconds",
    "Switch",
    "Text",
    "WorkerCount",
]


def _shown(value: object) -> str:
    """A wrong value as a message shows it: a line of a file may be as long as it likes."""
    try:
        return shortened(repr(value))
    except ValueError:  # Python makes no text of so many digits
        return "a number with thousands of digits"


class Kind(ABC):
    """How one setting's values are read and checked."""

    metavar: str = "VALUE"

    @abstractmethod
    def from_text(self, text: str) -> Any:
        """The value that a flag or a variable means."""

    @abstractmethod
    def from_toml(self, value: Any) -> Any:
        """The value that a key of the file means: numbers are numbers there, not strings."""


class Text(Kind):
    """Any text that `check` accepts; `check` raises ValueError, or returns the text in its final form."""

    def __init__(self, metavar: str, check: Callable[[str], str] = str) -> None:
        self.metavar = metavar
        self.check = check

    def from_text(self, text: str) -> str:
        return self.check(text)

    def from_toml(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"{_shown(value)} is not a string")
        return self.check(value)


class Choice(Kind):
    """One of a few names."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.metavar = "|".join(names)

    def from_text(self, text: str) -> str:
        return self.from_toml(text)

    def from_toml(self, value: Any) -> str:
        if value not in self.names:
            raise ValueError(f"{_shown(value)} is unknown; allowed: {', '.join(self.names[:-1])} or {self.names[-1]}")
        return str(value)


class Integer(Kind):
    """A whole number from `low` to `high`, both included."""

    def __init__(self, low: int, high: int, unit: str = "", metavar: str = "N") -> None:
        self.low = low
        self.high = high
        self.unit = unit
        self.allowed = f"allowed: {low} … {high}" + (f" {unit}" if unit else "")
        self.metavar = metavar

    def from_text(self, text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,20}", text):
            raise ValueError(f"{_shown(text)} is not an integer; {self.allowed}")
        return self._in_range(int(text))

    def from_toml(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{_shown(value)} is not an integer; {self.allowed}")
        return self._in_range(value)

    def _in_range(self, value: int) -> int:
        if not self.low <= value <= self.high:
            raise ValueError(f"{_shown(value)} is out of range; {self.allowed}")
        return value


class WorkerCount(Integer):
    """How many workers; AUTO for what the machine gives."""

    AUTO = "auto"

    def __init__(self, low: int, high: int) -> None:
        super().__init__(low, high, metavar="N|auto")
        self.allowed += ", or auto"

    def from_text(self, text: str) -> Any:
        return self.AUTO if text == self.AUTO else super().from_text(text)

    def from_toml(self, value: Any) -> Any:
        return self.AUTO if value == self.AUTO else super().from_toml(value)


class Seconds(Kind):
    """A duration from `low` (excluded, if `above`) to `high`."""

    metavar = "S"

    def __init__(self, low: float, high: float, *, above: bool = False) -> None:
        self.low = low
        self.high = high
        self.above = above
        self.allowed = f"allowed: {f'above {low:g}, up to' if above else f'{low:g} …'} {high:g} seconds"

    def from_text(self, text: str) -> float:
        try:
            if not text.isascii() or "_" in text:
                raise ValueError
            value = float(text)
        except ValueError:
            raise ValueError(f"{_shown(text)} is not a number; {self.allowed}") from None
        return self._in_range(value)

    def from_toml(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{_shown(value)} is not a number; {self.allowed}")
        try:
            return self._in_range(float(value))
        except OverflowError:
            raise ValueError(f"{_shown(value)} is out of range; {self.allowed}") from None

    def _in_range(self, value: float) -> float:
        above_low = self.low < value if self.above else self.low <= value
        if not (above_low and value <= self.high):  # NaN is in no range
            raise ValueError(f"{value:g} is out of range; {self.allowed}")
        return value


class Switch(Kind):
    """True or False: --name and --no-name, 1 and 0."""

    TEXTS: ClassVar = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }

    def from_text(self, text: str) -> bool:
        value = self.TEXTS.get(text.lower())
        if value is None:
            raise ValueError(f"{_shown(text)} is neither true nor false; allowed: {', '.join(self.TEXTS)}")
        return value

    def from_toml(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError(f"{_shown(value)} is neither true nor false")
        return value


class Names(Kind):
    """Several texts: a flag that may be repeated, a variable with commas, an array of the file."""

    def __init__(self, metavar: str, check: Callable[[str], str]) -> None:
        self.metavar = metavar
        self.check = check

    def from_text(self, text: str) -> list[str]:
        return self.from_toml([name.strip() for name in text.split(",") if name.strip()])

    def from_toml(self, value: Any) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise ValueError(f"{_shown(value)} is not an array of strings")
        names = [self.check(name) for name in value]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{_shown(name)} is listed twice")
        return names


class Addresses(Names):
    """Several addresses: commas stand between them in a flag, too, and in what the file has. What is wrong with them is said
    without showing them, since a password may be in one."""

    def from_toml(self, value: Any) -> list[str]:
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ValueError("it is no address, and no array of addresses")
        names = [name.strip() for text in texts for name in text.split(",")]
        if not names:
            raise ValueError("no address is given")
        return [self.check(name) for name in dict.fromkeys(names)]


class Hosts(Names):
    """Several hosts, of which there is one most often: the file may name it without an array."""

    def from_text(self, text: str) -> list[str]:
        return super().from_text(text) or [self.check(text)]

    def from_toml(self, value: Any) -> list[str]:
        return super().from_toml([value] if isinstance(value, str) else value)


class Folders(Names):
    """Several folders: a flag that may be repeated, and without one means the current folder."""

    HERE = "."

    def __init__(self) -> None:
        super().__init__("DIR", _folder)

    def from_toml(self, value: Any) -> list[str]:
        return super().from_toml([self.HERE] if value is True else value)


def _folder(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError(f"{_shown(text)} is not the path of a folder")
    return text
