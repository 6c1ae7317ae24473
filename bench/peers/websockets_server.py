# mypy: ignore-errors
# Its packages are only in the venv of the peers.
"""A room and an echo on websockets, with its own broadcast: python websockets_server.py echo|fanout"""

from __future__ import annotations

import asyncio
import sys

import orjson
import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

MEMBERS: set[ServerConnection] = set()


async def echo(peer: ServerConnection) -> None:
    async for message in peer:
        await peer.send(orjson.dumps(orjson.loads(message)).decode())


async def member(peer: ServerConnection) -> None:
    MEMBERS.add(peer)
    try:
        async for message in peer:
            broadcast(MEMBERS, orjson.dumps(orjson.loads(message)).decode())
    finally:
        MEMBERS.discard(peer)


async def main() -> None:
    handler = echo if sys.argv[1] == "echo" else member
    async with serve(handler, "127.0.0.1", 0, compression=None, backlog=4096) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


uvloop.run(main())
