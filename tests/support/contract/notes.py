"""What the contract's application noted of its callbacks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.contract.client import DEADLINE_S
from tests.support.eventually import eventually

__all__ = ["Notes"]


class Notes:
    """What the application noted of its callbacks, in all workers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = 0
        self._entries: dict[str, list[dict[str, Any]]] = {}

    def _read(self) -> dict[str, list[dict[str, Any]]]:
        """All entries by connection id; only what is new is read."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._read_bytes)
                new = file.read()
            # A line that is being written now is for the next time.
            new = new[: new.rfind(b"\n") + 1]
            for line in new.splitlines():
                entry = json.loads(line)
                self._entries.setdefault(entry["id"], []).append(entry)
            self._read_bytes += len(new)
        return self._entries

    def of(self, connection_id: str) -> list[dict[str, Any]]:
        """The entries of one connection id, in their order."""
        return self._read().get(connection_id, [])

    def kinds(self, connection_id: str) -> list[str]:
        return [entry["kind"] for entry in self.of(connection_id)]

    def count(self, kind: str, prefix: str) -> int:
        """How many entries of a kind there are for the ids that begin with `prefix`."""
        return sum(
            entry["kind"] == kind
            for connection_id, entries in self._read().items()
            if connection_id.startswith(prefix)
            for entry in entries
        )

    async def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait until the notes (or anything else) fulfil a condition."""
        return await eventually(condition, what, DEADLINE_S)

    async def ended(self, connection_id: str) -> dict[str, Any]:
        """Wait for the session's on_disconnect, and return its entry."""
        await self.until(lambda: "disconnect" in self.kinds(connection_id), f"{connection_id} has an on_disconnect")
        return next(entry for entry in self.of(connection_id) if entry["kind"] == "disconnect")

    async def has(self, connection_id: str, kind: str, times: int = 1) -> None:
        await self.until(
            lambda: self.kinds(connection_id).count(kind) >= times, f"{connection_id} has {times} × {kind}"
        )
