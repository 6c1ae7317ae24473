"""What a fault is, and what many of them put in the place of what is there."""

from __future__ import annotations

from typing import Any

__all__ = ["Faults", "never", "nothing"]

Faults = dict[str, tuple[tuple[Any, str, Any], ...]]
"""What is wrong → (owner, attribute, replacement); an attribute of "" adds to a dict."""


def never(_self: Any, *_args: Any) -> None:
    """Something that is forgotten."""


def nothing(*_args: Any) -> int:
    return 0
