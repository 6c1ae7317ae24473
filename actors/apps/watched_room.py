"""`WatchedRoom`: what a shard keeps of a room that somebody watches, here or on another shard.

Made by `Presence` for the first watcher and forgotten with the last. It is a mirror of the room's members on all shards,
and what has changed in it since the watchers were told last; it tells nobody anything.
"""

from __future__ import annotations

from typing import Any, Literal

from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.sessions.session import Session

__all__ = ["State", "WatchedRoom"]

State = Literal["connected", "suspended", "gone"]

_WHAT: dict[tuple[str, str], str] = {
    ("gone", "connected"): "came",
    ("gone", "suspended"): "came",
    ("connected", "suspended"): "dropped",
    ("suspended", "connected"): "resumed",
    ("connected", "gone"): "went",
    ("suspended", "gone"): "went",
}


class WatchedRoom:
    """See the module."""

    __slots__ = ("behind", "changes", "incarnations", "members", "reporting_to", "unreported", "watchers")

    def __init__(self) -> None:
        self.watchers: dict[Connection, Session] = {}
        self.behind: dict[Connection, Session] = {}
        """The watchers that get the whole list next time."""
        self.members: dict[str, tuple[int, State]] = {}
        """Id → (shard, state) of the whole room, while there are watchers here."""
        self.incarnations: dict[int, int] = {}
        """Of the other shards whose members are in the mirror."""
        self.changes: list[dict[str, Any]] = []
        self.reporting_to: dict[int, int] = {}
        """Shard → incarnation of the others that watch."""
        self.unreported: list[tuple[str, State]] = []

    def note(self, shard: int, connection_id: str, state: State) -> None:
        """A session is in this state now."""
        members = self.members
        before = members.get(connection_id, (shard, "gone"))[1]
        what = _WHAT.get((before, state))
        if what is None:
            return
        if state == "gone":
            del members[connection_id]
        else:
            members[connection_id] = (shard, state)
        self.changes.append({"what": what, "id": connection_id, "worker": shard})

    def note_all(self, shard: int, states: list[tuple[str, State]]) -> None:
        """These and no others are the members that this shard has."""
        present = {connection_id for connection_id, _ in states}
        for connection_id, (holder, _) in list(self.members.items()):
            if holder == shard and connection_id not in present:
                self.note(shard, connection_id, "gone")
        for connection_id, state in states:
            self.note(shard, connection_id, state)
