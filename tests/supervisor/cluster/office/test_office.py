"""What a gateway answers to workers that is its own to answer."""

from __future__ import annotations

import socket
from typing import Any

from wspulse.actors.bus.message import pack, room_topic
from wspulse.actors.mesh.placing.hosts import RoomMessages
from wspulse.supervisor.cluster.office.office import Office


class Streams:
    """Rooms' messages, as the cluster keeps them."""

    def __init__(self, *kept: bytes) -> None:
        self._kept = kept

    async def fetch(self, _bucket: int, after: int, upto: int) -> list[tuple[int, bytes]]:
        return [(number, data) for number, data in enumerate(self._kept, 1) if after < number <= upto]

    async def reach(self, _bucket: int, _sequence: int) -> None:
        raise AssertionError


async def test_messages_of_a_room_are_those_of_its_bucket_that_begin_with_its_topic() -> None:
    ours = pack(room_topic("lobby"), 1, 1, 0, [b"frame"])
    others = pack(room_topic("lobby2"), 1, 2, 0, [b"frame"])
    unused: Any = None
    with socket.socket(socket.AF_UNIX) as mailbox:
        streams = Streams(b"", others, ours, b"of somebody else who publishes there")
        office = Office(unused, mailbox, unused, unused, {}, unused, streams, 1)
        try:
            messages = office._receive(RoomMessages("lobby", 0, 4))
            assert await messages == [ours]
        finally:
            await office.close()
