"""What an id may be: a text of at most 256 bytes in UTF-8 (contract.md §2)."""

from __future__ import annotations

from wspulse.actors.values.errors import id_error

__all__ = ["MAX_ID_BYTES", "checked_room_id"]

MAX_ID_BYTES = 256
"""Of a room id and of a connection id, in UTF-8."""


def checked_room_id(room_id: object) -> str:
    """Raises TypeError for what is no str, ValueError for a text that is too long, or cannot be sent."""
    if not isinstance(room_id, str):
        raise id_error("room", room_id)
    try:
        size = len(room_id.encode())
    except UnicodeEncodeError:
        raise ValueError("wspulse: a room id holds half a surrogate pair, which UTF-8 has no bytes for") from None
    if size > MAX_ID_BYTES:
        raise ValueError(f"wspulse: a room id has at most {MAX_ID_BYTES} bytes in UTF-8, not {size}")
    return room_id
