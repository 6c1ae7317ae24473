"""`Waiting`: ids of sessions that are between two processes, and who waits until it is known where they are. No I/O."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Waiting"]


class Waiting:
    """See the module. Those who wait for one id are called in their order, all in one step, when it is removed."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: dict[str, list[Callable[[], object]]] = {}

    def __contains__(self, connection_id: object) -> bool:
        return connection_id in self._calls

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, connection_id: str) -> None:
        self._calls.setdefault(connection_id, [])

    def wait(self, connection_id: str, call: Callable[[], object]) -> None:
        """`call` when that one is somewhere; at once where it is known already."""
        calls = self._calls.get(connection_id)
        if calls is None:
            call()
        else:
            calls.append(call)

    def remove(self, connection_id: str) -> None:
        """It is somewhere, or has ended."""
        for call in self._calls.pop(connection_id, ()):
            call()
