"""`Transit`: what a shard asks about an id that it has no session of, while sessions move out of it or into it.

A shard has one only meanwhile; what it is made of is `moving`'s. Nobody pays for it at other times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, Protocol

__all__ = ["Transit"]


class Transit(Protocol):
    """See the module."""

    def missing(self, connection_id: str, key: tuple[int, int] | None) -> NoReturn:
        """No session of this id (of this birth key, unless it is None) is here. Raises InTransitError while it is between two
        processes, SessionMovedError where it, or whatever becomes of its id, is another's, else ConnectionNotFoundError."""

    def newcomer_goes_to(self, connection_id: str) -> int:
        """The seat that decides about a newcomer of this id whom another process has sent here, or the table has. Raises
        InTransitError."""

    def wait_for(self, connection_id: str, call: Callable[[], object]) -> None:
        """Have `call` made, once, when it is known where a session is that is between two processes."""

    def frozen(self, connection_id: str, key: tuple[int, int] | None) -> Any:
        """The session of this id (and birth key) that has left the table and may yet be taken back, which keeps what is sent to
        it; None where there is none."""

    def between(self, room_id: str | None) -> list[Any]:
        """The sessions of ours that are between two processes, of one room or of all."""

    def coming(self, room_id: str | None) -> list[Any]:
        """The sessions, of one room or of all, that are as good as here: whoever has them may have forgotten them. They are to be
        listed, and nothing else."""

    def gone_to(self) -> list[int]:
        """The seats that sessions of ours may be at by now: whoever lists sessions lists those of these afterwards."""
