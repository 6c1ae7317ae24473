from __future__ import annotations

import pytest

from wspulse.actors.values.text.ids import checked_room_id


@pytest.mark.parametrize("room_id", ["", "x" * 256, "é" * 128])
def test_room_id_of_up_to_256_bytes_is_taken(room_id: str) -> None:
    assert checked_room_id(room_id) == room_id


@pytest.mark.parametrize(
    ("room_id", "error", "said"),
    [
        ("x" * 257, ValueError, "the room id has 257 bytes in UTF-8; allowed: up to 256"),
        ("é" * 129, ValueError, "the room id has 258 bytes in UTF-8; allowed: up to 256"),
        ("\ud83d", ValueError, "the room id contains a lone surrogate"),
        (7, TypeError, "a room id"),
        (None, TypeError, "a room id"),
    ],
)
def test_what_is_no_room_id_raises(room_id: object, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=f"^wspulse: {said}"):
        checked_room_id(room_id)
