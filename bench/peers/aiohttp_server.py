# mypy: ignore-errors
# Its packages are only in the venv of the peers.
"""A room and an echo on aiohttp: python aiohttp_server.py echo|fanout"""

from __future__ import annotations

import asyncio
import socket
import sys

import orjson
import uvloop
from aiohttp import WSMsgType, web

MEMBERS: set[web.WebSocketResponse] = set()


async def echo(request: web.Request) -> web.WebSocketResponse:
    peer = web.WebSocketResponse(compress=False)
    await peer.prepare(request)
    async for message in peer:
        if message.type == WSMsgType.TEXT:
            await peer.send_str(orjson.dumps(orjson.loads(message.data)).decode())
    return peer


async def member(request: web.Request) -> web.WebSocketResponse:
    peer = web.WebSocketResponse(compress=False)
    await peer.prepare(request)
    MEMBERS.add(peer)
    try:
        async for message in peer:
            if message.type == WSMsgType.TEXT:
                text = orjson.dumps(orjson.loads(message.data)).decode()
                for other in list(MEMBERS):
                    await other.send_str(text)
    finally:
        MEMBERS.discard(peer)
    return peer


async def main() -> None:
    application = web.Application()
    application.router.add_get("/ws", echo if sys.argv[1] == "echo" else member)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    await web.SockSite(runner, listener, backlog=4096).start()
    print(listener.getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


uvloop.run(main())
