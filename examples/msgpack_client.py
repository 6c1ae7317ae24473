"""Clients that speak msgpack: binary payloads as they are, and nothing is lost when the network fails.

    python -m wspulse.supervisor --app relay --codec msgpack --resume-window 30
    python msgpack_client.py ws://127.0.0.1:8000/ws

A camera sends 20 tiles of 16 KiB; a viewer gets all of them, though its connection is cut in the middle.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import sys
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection

from wspulse.client import Line, MsgpackCodec, connect

TILES = 20
TILE_BYTES = 16 * 1024


class Tile(msgspec.Struct):
    number: int
    digest: bytes
    pixels: bytes


class CutConnection(ClientConnection):
    """What carries the viewer's line now, so that this program can play the network that dies."""

    last: ClientConnection

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        CutConnection.last = self


async def film(camera: Line) -> None:
    for number in range(TILES):
        pixels = random.randbytes(TILE_BYTES)
        camera.send("tile", Tile(number, hashlib.sha256(pixels).digest(), pixels))
        await asyncio.sleep(0.02)


async def watch(viewer: Line) -> int:
    """How many tiles it got, up to the last one."""
    count = 0
    async for frame in viewer:
        tile = frame.decode(Tile)
        if hashlib.sha256(tile.pixels).digest() != tile.digest:
            raise ValueError(f"tile {tile.number} is damaged")
        count += 1
        if count == TILES // 2:
            CutConnection.last.transport.abort()
        if tile.number == TILES - 1:
            break
    return count


async def main(url: str) -> None:
    async with (
        connect(f"{url}?room=tiles&id=viewer", codec=MsgpackCodec(), create_connection=CutConnection) as viewer,
        connect(f"{url}?room=tiles&id=camera", codec=MsgpackCodec()) as camera,
    ):

        @viewer.on("wspulse.state")
        def tell(news: dict[str, Any]) -> None:
            print(f"the viewer is {news['state']}", file=sys.stderr)

        camera.on("tile")(lambda: None)  # the camera gets what the room gets, and never asks for it
        async with asyncio.timeout(60):
            await viewer.ready  # ready means joined: from here on it gets everything that the room gets
            count, _ = await asyncio.gather(watch(viewer), film(camera))
        print(f"the viewer got {count} of {TILES} tiles")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python msgpack_client.py ws://HOST:PORT/ws")
    asyncio.run(main(sys.argv[1]))
