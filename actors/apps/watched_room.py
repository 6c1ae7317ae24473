"""`WatchedRoom`: what a shard keeps of a room that somebody watches, here or on another shard.

Made by `Presence` for the first watcher and forgotten with the last. It is a mirror of the room's members on all shards,
and what has changed in it since the watchers were told last; it tells nobody anything.

A shard is known by its seat here, and to those who watch by its place: the number of its worker, and its host where there are
several. A member that moves is taken off by the
seat that it leaves and claimed by the one where it arrives, which are two streams: whichever is read first, it neither goes nor
comes. For a while both may claim it, or nobody; who is claimed by nobody for longer than a move takes has gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.sessions.session import Session

__all__ = ["Place", "State", "WatchedRoom"]

State = Literal["connected", "suspended", "gone", "moved"]
"""Of a member, as a shard says it of those that it has. "moved": it has it no more, and another will say that it has."""

Place = Mapping[str, Any]
"""Of a worker, as those who watch are told of it: {"worker": its number}, with "host" where there are several."""

_NOBODY = -1


class WatchedRoom:
    """See the module. `places` has that of the worker at each seat."""

    __slots__ = (
        "_others",
        "_places",
        "_unclaimed",
        "awaited",
        "behind",
        "changes",
        "incarnations",
        "members",
        "patient_until",
        "reporting_to",
        "unreported",
        "watchers",
    )

    def __init__(self, places: Mapping[int, Place]) -> None:
        self._places = places
        self.watchers: dict[Connection, Session] = {}
        self.behind: dict[Connection, Session] = {}
        """The watchers that get the whole list next time."""
        self.members: dict[str, tuple[int, State]] = {}
        """Id → (seat, state) of the whole room, while there are watchers here."""
        self._others: dict[str, dict[int, State]] = {}
        """Id → seat → state, of other seats that claim a member too."""
        self._unclaimed: dict[str, tuple[Place, bool]] = {}
        """Id → (the place that it has left, whether that was so at the last look) of members that are under way: another worker
        may be at its seat when they arrive."""
        self.incarnations: dict[int, int] = {}
        """Of the other shards whose members are in the mirror."""
        self.awaited: dict[int, None] = {}
        """Shards that have not said whom they have, since the first watcher came."""
        self.patient_until = 0.0
        """How long watchers wait for these: those that have moved here would see their members go and come."""
        self.changes: list[dict[str, Any]] = []
        self.reporting_to: dict[int, int] = {}
        """Seat → incarnation of the others that watch."""
        self.unreported: list[tuple[str, State]] = []

    def place_of(self, connection_id: str) -> Place:
        """That of the worker that has a member, or has had it last."""
        seat = self.members[connection_id][0]
        return self._unclaimed[connection_id][0] if seat == _NOBODY else self._places[seat]

    def note(self, seat: int, connection_id: str, state: State) -> None:
        """A session is in this state now."""
        known = self.members.get(connection_id)
        if state in ("gone", "moved"):
            if known is not None:
                self._let_go(seat, connection_id, known, state)
        elif known is None:
            self.members[connection_id] = (seat, state)
            self._tell("came", connection_id)
            if state == "suspended":
                self._tell("dropped", connection_id)  # of which nothing could be heard when it happened
        else:
            place = self.place_of(connection_id)
            if known[0] == _NOBODY:
                del self._unclaimed[connection_id]
            elif known[0] != seat:
                others = self._others.setdefault(connection_id, {})
                others.pop(seat, None)
                others[known[0]] = known[1]
            self.members[connection_id] = (seat, state)
            self._compare(connection_id, known[1], place)

    def note_all(self, seat: int, states: list[tuple[str, State]], absent: State = "gone") -> None:
        """These and no others are the members that this shard has; those that it has no more are `absent`."""
        present = {connection_id for connection_id, _ in states}
        claimed = [connection_id for connection_id, others in self._others.items() if seat in others]
        claimed += [connection_id for connection_id, (holder, _) in self.members.items() if holder == seat]
        for connection_id in claimed:
            if connection_id not in present:
                self.note(seat, connection_id, absent)
        for connection_id, state in states:
            self.note(seat, connection_id, state)

    def look_for_lost(self) -> bool:
        """Members that nobody claims, as at the last look, are gone. Returns whether some are still under way."""
        for connection_id, (place, is_late) in list(self._unclaimed.items()):
            if is_late:
                del self.members[connection_id], self._unclaimed[connection_id]
                self.changes.append({"what": "went", "id": connection_id, **place})
            else:
                self._unclaimed[connection_id] = (place, True)
        return bool(self._unclaimed)

    def unwatched(self) -> None:
        """Nobody here watches any more: the mirror would grow blind."""
        for kept in (self.members, self._others, self._unclaimed, self.incarnations, self.awaited, self.changes):
            kept.clear()

    def _let_go(self, seat: int, connection_id: str, known: tuple[int, State], state: State) -> None:
        others = self._others.get(connection_id)
        if known[0] != seat:
            if others is not None:
                others.pop(seat, None)
        elif others:
            place = self.place_of(connection_id)
            self.members[connection_id] = others.popitem()
            self._compare(connection_id, known[1], place)
        elif state == "moved":
            self.members[connection_id] = (_NOBODY, known[1])
            self._unclaimed[connection_id] = (self._places[seat], False)
        else:
            self._tell("went", connection_id)
            del self.members[connection_id]
        if not others:
            self._others.pop(connection_id, None)

    def _compare(self, connection_id: str, before: State, place: Place) -> None:
        """A member that was in this state, and at this place, is in the mirror as it is now."""
        state = self.members[connection_id][1]
        if state != before:
            self._tell("dropped" if state == "suspended" else "resumed", connection_id)
        elif self.place_of(connection_id) != place:
            self._tell("moved", connection_id, state=state)

    def _tell(self, what: str, connection_id: str, **further: str) -> None:
        self.changes.append({"what": what, "id": connection_id, **self.place_of(connection_id), **further})
