"""`Keeper`: a member of a moving session's rooms in its place, which keeps what they get.

One per session and process, from the cut on until the session has a transport in one of the two; then it is dropped in the
other. It bounds nothing: whoever moves the session takes it back when that takes too long.
"""

from __future__ import annotations

from collections.abc import Iterable

from wspulse.actors.sessions.room import Room, RoomKeeper
from wspulse.actors.sessions.session import Session

__all__ = ["Keeper"]


class Keeper(RoomKeeper):
    """See the module. `frames` are those of its rooms, in wire form, in the order of each room; `size_bytes` is what they
    take."""

    __slots__ = ("_rooms", "frames", "id")

    def __init__(self, connection_id: str) -> None:
        self.id = connection_id
        self.frames: list[bytes] = []
        self._rooms: list[Room[Session]] = []

    def enter(self, rooms: Iterable[Room[Session]]) -> None:
        """Keep what these rooms get from now on. What they have got before is written to their members first."""
        for room in rooms:
            room.add_keeper(self)
            self._rooms.append(room)

    def leave(self) -> None:
        """Keep nothing more; what the rooms have got until now is here."""
        for room in self._rooms:
            room.remove_keeper(self)
        self._rooms.clear()

    def buffer_broadcast(self, frames: list[bytes]) -> None:
        self.frames += frames
