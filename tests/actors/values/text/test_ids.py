from __future__ import annotations

import pytest

from wspulse.actors.values.text.ids import checked_room_id


@pytest.mark.parametrize("room_id", ["", "x" * 256, "é" * 128])
def test_room_id_of_up_to_256_bytes_is_taken(room_id: str) -> None:
    assert checked_room_id(room_id) == room_id


@pytest.mark.parametrize(
    ("room_id", "error"),
    [("x" * 257, ValueError), ("é" * 129, ValueError), ("\ud83d", ValueError), (7, TypeError), (None, TypeError)],
)
def test_what_is_no_room_id_raises(room_id: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^wspulse: a room id"):
        checked_room_id(room_id)
