"""`Script`: what a pretended server does on each connection of one scenario, and whether the client did its part.

The steps are those of README.md beside this file. Nothing here knows sockets: `scripted_server` plays the steps, and asks
here whether what came is what had to come.
"""

from __future__ import annotations

import json
from typing import Any

__all__ = ["FIRST_FRAME", "Mismatch", "Script"]

FIRST_FRAME = {
    "id": "c",
    "token": "t",
    "window": 30,
    "ping": 10,
    "ack": [64, 1048576],
    "received": 0,
    "recovered": False,
    "lost": 0,
}


class Mismatch(Exception):
    """The client did something else than the script says."""


class Script:
    """The steps of one scenario, what its placeholders stand for, and what went wrong so far."""

    def __init__(self, scenario: dict[str, Any]) -> None:
        self.name: str = scenario["name"]
        self.connections: list[list[dict[str, Any]]] = scenario["server"]
        self.failures: list[str] = []
        self.bound: dict[str, Any] = {}

    def check(self, expected: Any, came: Any) -> None:
        """Mismatch, unless all that is expected is in what came: objects may have more members, lists may not."""
        if not self._matches(expected, came):
            raise Mismatch(f"expected {json.dumps(self.filled(expected))}, came {json.dumps(came)}")

    def filled(self, value: Any) -> Any:
        """The value with what its placeholders stand for."""
        if isinstance(value, str):
            return self.bound.get(value, value)
        if isinstance(value, list):
            return [self.filled(item) for item in value]
        if isinstance(value, dict):
            return {name: self.filled(item) for name, item in value.items()}
        return value

    def _matches(self, expected: Any, came: Any) -> bool:
        if expected == "$any":
            return True
        if isinstance(expected, str) and expected.startswith("$"):
            return bool(self.bound.setdefault(expected, came) == came)
        if isinstance(expected, dict):
            return isinstance(came, dict) and all(
                name in came and self._matches(value, came[name]) for name, value in expected.items()
            )
        if isinstance(expected, list):
            return isinstance(came, list) and len(came) == len(expected) and all(map(self._matches, expected, came))
        return type(expected) is type(came) and bool(expected == came)
