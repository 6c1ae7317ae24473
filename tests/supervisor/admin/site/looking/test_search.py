"""Which connections a text finds, and how few of them a browser gets."""

from __future__ import annotations

from wspulse.supervisor.admin.site.looking.search import find_connections, largest_rooms
from wspulse.supervisor.protocol.types import ConnectionInfo, RoomInfo


def connection(name: str, *rooms: str, at: float = 0.0) -> ConnectionInfo:
    return ConnectionInfo(name, rooms[0], 0, "connected", at, 0, rooms)


def names(found: dict[str, list[ConnectionInfo]]) -> list[str]:
    return [row.id for row in found["rows"]]


ALL = [connection("Ada", "lobby", at=1), connection("bob", "Games", at=3), connection("eve", "lobby", "games", at=2)]


def test_text_is_looked_for_in_ids_and_rooms_whatever_its_case() -> None:
    assert names(find_connections(ALL, "", None)) == ["bob", "eve", "Ada"], "the latest first"
    assert names(find_connections(ALL, "aD", None)) == ["Ada"]
    assert names(find_connections(ALL, "GAMES", None)) == ["bob", "eve"]
    assert find_connections(ALL, "nobody", None) == {"found": 0, "rows": []}


def test_room_is_the_whole_room_and_also_a_further_one() -> None:
    assert names(find_connections(ALL, "", "lobby")) == ["eve", "Ada"]
    assert names(find_connections(ALL, "", "games")) == ["eve"]
    assert names(find_connections(ALL, "b", "lobby")) == ["eve", "Ada"], "the text is in the room's name"
    assert names(find_connections([connection("x", "")], "", "")) == ["x"], "a room may have an empty name"


def test_of_a_hundred_thousand_connections_a_browser_gets_a_hundred() -> None:
    many = [connection(f"c{number}", "lobby", at=float(number)) for number in range(100_000)]
    found = find_connections(many, "c", None)
    assert found["found"] == 100_000
    assert names(found) == [f"c{number}" for number in range(99_999, 99_899, -1)]


def test_largest_rooms_come_first_and_are_few() -> None:
    rooms = [RoomInfo(f"r{number}", number) for number in range(1000)]
    assert [room.connections for room in largest_rooms(rooms)] == list(range(999, 949, -1))
