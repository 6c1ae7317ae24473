"""The rooms of one connection, and the bytes that wait for it, are bounded; and neighbours notice nothing."""

from __future__ import annotations

import json

import pytest
from websockets.asyncio.client import connect

from tests.support.shards.shards import serve_shards
from wspulse import Connection, Frame, Server


def joining() -> Server:
    server = Server(lambda request: ("lobby", request.query["id"]), max_rooms_per_connection=3)

    @server.on_message
    async def on_message(connection: Connection, frame: Frame) -> None:
        try:
            await connection.join(frame.event)
            await connection.send(Frame("joined", len(connection.rooms)))
        except ValueError as error:
            await connection.send(Frame("refused", str(error)))

    return server


@pytest.mark.parametrize("count", [1, 4])
async def test_connection_joins_no_more_rooms_than_it_may_and_its_neighbour_does(count: int) -> None:
    async with (
        serve_shards(joining, count) as shards,
        connect(f"{shards.url}?id=many", proxy=None) as many,
        connect(f"{shards.url}?id=neighbour", proxy=None) as neighbour,
    ):
        for number in range(6):
            await many.send(json.dumps({"event": f"room-{number}"}))
            answer = json.loads(await many.recv())
            if number < 3:
                assert answer == {"event": "joined", "payload": number + 2}
            else:
                assert answer == {
                    "event": "refused",
                    "payload": "wspulse: a connection may be in at most 3 rooms besides its first one",
                }
        await neighbour.send('{"event":"room-5"}')
        assert json.loads(await neighbour.recv()) == {"event": "joined", "payload": 2}
        assert sum(runtime.shard.metrics.limited_rooms for runtime in shards.runtimes) == 3
