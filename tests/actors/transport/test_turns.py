"""One client floods a server, another one asks it something, over real sockets: who has to wait for whom."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.client import connect

from tests.support.wire.raw_peer import RawPeer, masked
from wspulse import Connection, Frame, Server

FLOOD_FRAMES = 30_000

FRAMES = {
    "messages for a sync handler": masked(1, b'{"event":"x"}'),
    "messages that do not decode": masked(1, b"{"),
    "pings": masked(9, b""),
}


def asking(what: str) -> bytes:
    return masked(1, json.dumps({"id": what}).encode())


@pytest.mark.parametrize("kind", FRAMES)
async def test_flood_of_one_client_keeps_no_other_waiting_for_its_end(kind: str) -> None:
    asked: list[str] = []

    def on_message(connection: Connection, frame: Frame) -> None:
        if frame.id:
            asked.append(frame.id)
            connection.send_nowait(frame)

    server = Server(lambda _request: ("room", ""), on_message=on_message)
    async with (
        server.serve() as running,
        connect(running.url, proxy=None) as other,
        await RawPeer.upgraded(running.port, "/ws") as flood,
    ):
        flood.writer.write(asking("the beginning") + FRAMES[kind] * FLOOD_FRAMES + asking("the end"))
        assert b"the beginning" in await answer(flood)
        await other.send('{"id":"are you there?"}')
        await other.recv()
        order = list(asked)
        assert b"the end" in await answer(flood)
    assert order == ["the beginning", "are you there?"], "the flood was handled before anybody else had a turn"


async def answer(flood: RawPeer) -> bytes:
    """The next message, pongs passed over."""
    async with asyncio.timeout(20):
        while (frame := await flood.frame())[0] != 1:
            pass
    return frame[1]
