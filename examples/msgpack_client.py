"""A client that speaks msgpack: binary payloads as they are, and a reconnect with the same id when the network goes.

    python -m wspulse.supervisor --app relay --codec msgpack --resume-window 30
    python msgpack_client.py ws://127.0.0.1:8000/ws

A camera sends 20 tiles of 16 KiB; a viewer gets them, though its connection is cut in the middle.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import sys

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError

TILES = 20
TILE_BYTES = 16 * 1024


class Tile(msgspec.Struct):
    number: int
    digest: bytes
    pixels: bytes


class Message(msgspec.Struct):
    """What is on the wire is a msgpack map with these three fields. The room is for tiles, so that is the payload's type."""

    event: str
    payload: Tile
    id: str = ""


class Client:
    """One connection id over as many connections as it takes."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._websocket: ClientConnection | None = None
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Message).decode

    async def connect(self) -> ClientConnection:
        """Raises TimeoutError when the server cannot be reached for a minute."""
        delay_s = 0.1
        async with asyncio.timeout(60):
            while self._websocket is None:
                try:
                    # The camera gets what the room gets and never asks for it: a bounded queue would hold up its close.
                    self._websocket = await connect(self._url, compression=None, max_queue=None)
                except OSError as error:
                    print(f"not reachable ({error}), next try in {delay_s:.1f} s", file=sys.stderr)
                    # A little chance keeps a thousand clients from coming back in the same moment.
                    await asyncio.sleep(delay_s * random.uniform(0.5, 1.5))
                    delay_s = min(2 * delay_s, 5.0)
        return self._websocket

    async def send(self, message: Message) -> None:
        await (await self.connect()).send(self._encode(message))

    async def receive(self) -> Message:
        """The next message. What the server sends while the network is away waits there, up to its send buffer."""
        while True:
            websocket = await self.connect()
            try:
                data = await websocket.recv(decode=False)
            except ConnectionClosedError as error:
                print(f"lost: {error}", file=sys.stderr)
                self._websocket = None
            else:
                return self._decode(data)

    def pull_the_plug(self) -> None:
        if self._websocket is not None:
            self._websocket.transport.abort()

    async def close(self) -> None:
        if self._websocket is not None:
            await self._websocket.close()


async def film(camera: Client) -> None:
    for number in range(TILES):
        pixels = random.randbytes(TILE_BYTES)
        await camera.send(Message("tile", Tile(number, hashlib.sha256(pixels).digest(), pixels)))
        await asyncio.sleep(0.02)


async def watch(viewer: Client) -> int:
    """How many tiles it got, up to the last one."""
    for count in range(1, TILES + 1):
        tile = (await viewer.receive()).payload
        if hashlib.sha256(tile.pixels).digest() != tile.digest:
            raise ValueError(f"tile {tile.number} is damaged")
        if count == TILES // 2:
            viewer.pull_the_plug()
        if tile.number == TILES - 1:
            break
    return count


async def main(url: str) -> None:
    camera, viewer = Client(f"{url}?room=tiles&id=camera"), Client(f"{url}?room=tiles&id=viewer")
    await viewer.connect()  # open means joined: from here on it gets everything that the room gets
    count, _ = await asyncio.gather(watch(viewer), film(camera))
    print(f"the viewer got {count} of {TILES} tiles")
    await camera.close()
    await viewer.close()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python msgpack_client.py ws://HOST:PORT/ws")
    asyncio.run(main(sys.argv[1]))
