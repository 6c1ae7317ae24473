"""`find_connections`: the few rows of a list of connections that a page shows. No I/O.

Asked by the application with the list of all; a browser never gets more than `MOST_ROWS` of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nlargest
from typing import Any

from wspulse.supervisor.protocol.types import ConnectionInfo, RoomInfo

__all__ = ["MOST_ROOMS", "MOST_ROWS", "find_connections", "largest_rooms"]

MOST_ROWS = 100
MOST_ROOMS = 50


def find_connections(connections: Iterable[ConnectionInfo], text: str, room: str | None) -> dict[str, Any]:
    """Those whose id or rooms contain `text`, whatever its case, and that are in `room`, where one is given; the latest first.
    `found` is how many there are."""
    wanted = text.casefold()
    found = [
        each
        for each in connections
        if (room is None or each.room == room or room in each.rooms)
        and (not wanted or wanted in each.id.casefold() or any(wanted in name.casefold() for name in _rooms_of(each)))
    ]
    latest = nlargest(MOST_ROWS, found, key=lambda each: each.connected_at)
    return {"found": len(found), "rows": latest}


def largest_rooms(rooms: Iterable[RoomInfo]) -> list[RoomInfo]:
    """The largest first."""
    return nlargest(MOST_ROOMS, rooms, key=lambda room: room.connections)


def _rooms_of(connection: ConnectionInfo) -> tuple[str, ...]:
    return connection.rooms or (connection.room,)
