"""What an id may be: a text of at most 256 bytes in UTF-8 (contract §2)."""

from __future__ import annotations

from collections.abc import Iterable

from wspulse.actors.values.errors import id_error

__all__ = ["MAX_ID_BYTES", "NOBODY", "can_exist", "checked_excluded", "checked_room_id"]

MAX_ID_BYTES = 256
"""Of a room id and of a connection id, in UTF-8."""

NOBODY: tuple[str, ...] = ()
"""The `exclude` of a broadcast that names none: always this very object, so that a comparison by identity is enough."""


def can_exist(an_id: str) -> bool:
    """Whether a connection or a room can have this id at all: not where UTF-8 has no bytes for it."""
    try:
        an_id.encode()
    except UnicodeEncodeError:
        return False
    return True


def checked_excluded(exclude: Iterable[str]) -> frozenset[str]:
    """The connection ids that a broadcast leaves out. Raises TypeError for one that is no str, or where a single id is given in
    the place of several."""
    if isinstance(exclude, (str, bytes)) or not isinstance(exclude, Iterable):
        raise TypeError(f"wspulse: exclude must be a list of connection ids, not {type(exclude).__name__}")
    excluded = tuple(exclude)
    for connection_id in excluded:
        if not isinstance(connection_id, str):
            raise id_error("connection", connection_id)
    return frozenset(excluded)


def checked_room_id(room_id: object) -> str:
    """Raises TypeError for anything but a str, ValueError for a text that is too long, or cannot be sent."""
    if not isinstance(room_id, str):
        raise id_error("room", room_id)
    try:
        size = len(room_id.encode())
    except UnicodeEncodeError:
        raise ValueError("wspulse: the room id contains a lone surrogate, which UTF-8 cannot encode") from None
    if size > MAX_ID_BYTES:
        raise ValueError(f"wspulse: the room id has {size} bytes in UTF-8; allowed: up to {MAX_ID_BYTES}")
    return room_id
