"""What kinds of values the options of a server take: each says what is allowed, and checks a value.

`ServerOptions` names the kind of each option beside its default; the table of options and the settings of the command line
are made from the same. A kind knows neither the option nor its default.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Checked", "Count", "Duration", "OneOf", "OptionKind", "Truth"]


class OptionKind(Protocol):
    @property
    def allowed(self) -> str:
        """What is allowed, as the documents say it."""

    def default_text(self, default: Any) -> str:
        """A default of this kind, as the documents say it."""

    def checked(self, value: Any) -> Any:
        """The value in its final form. Raises ValueError "<value> is ...; allowed: ..."."""


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds from `low` (excluded, if `above`) to `high`; `floor` is the option, if any, that they have to be above too."""

    low: float
    high: float
    above: bool = False
    floor: str = ""

    @property
    def allowed(self) -> str:
        if self.above:
            return f"above {self.floor or f'{self.low:g}'}, up to {self.high:g} s"
        return f"{self.low:g} … {self.high:g} s"

    def default_text(self, default: float) -> str:
        return f"{default:g} s" if default else "0 s (off)"

    def checked(self, value: Any) -> float:
        allowed = f"allowed: {f'above {self.low:g}, up to' if self.above else f'{self.low:g} …'} {self.high:g} seconds"
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{value!r} is not a number; {allowed}")
        # NaN is in no range.
        if not (self.low < value if self.above else self.low <= value) or not value <= self.high:
            raise ValueError(f"{value!r} is out of range; {allowed}")
        return float(value)


@dataclass(frozen=True, slots=True)
class Count:
    """A whole number of `unit` from `low` to `high`, both included."""

    low: int
    high: int
    unit: str

    @property
    def allowed(self) -> str:
        return f"{self.low} … {self.high} {self.unit}"

    def default_text(self, default: int) -> str:
        return f"{default} {self.unit}" if default or self.low else "0 (off)"

    def checked(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{value!r} is not an integer; allowed: {self.allowed}")
        if not self.low <= value <= self.high:
            raise ValueError(f"{value!r} is out of range; allowed: {self.allowed}")
        return value


@dataclass(frozen=True, slots=True)
class Truth:
    """True or False."""

    allowed: str = "bool"

    def default_text(self, default: bool) -> str:
        return str(default)

    def checked(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is not a bool; allowed: True or False")
        return value


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a few names."""

    names: tuple[str, ...]

    @property
    def allowed(self) -> str:
        return ", ".join(f'"{name}"' for name in self.names)

    def default_text(self, default: str) -> str:
        return f'"{default}"'

    def checked(self, value: Any) -> str:
        if value not in self.names:
            *others, last = map(repr, self.names)
            raise ValueError(f"{value!r} is unknown; allowed: {', '.join(others)} or {last}")
        return str(value)


@dataclass(frozen=True, slots=True)
class Checked:
    """What `check` accepts: it returns the value in its final form, or raises ValueError."""

    allowed: str
    default: str
    check: Callable[[Any], Any]

    def default_text(self, default: Any) -> str:
        return self.default

    def checked(self, value: Any) -> Any:
        return self.check(value)
