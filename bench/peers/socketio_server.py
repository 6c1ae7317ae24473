# mypy: ignore-errors
# Its packages are only in the venv of the peers.
"""A room and an echo on python-socketio with uvicorn, over WebSocket only: python socketio_server.py echo|fanout

Its handlers run in order, without a task for each (async_handlers), and its JSON is orjson's; clients are pinged by
Engine.IO, so that uvicorn need not ping them too.
"""

from __future__ import annotations

import os
import socket
import sys
import threading

import orjson
import socketio
import uvicorn

ROOM = "lobby"


class FastJson:
    """orjson where the standard library's `json` is expected."""

    loads = staticmethod(orjson.loads)

    @staticmethod
    def dumps(value, **_options) -> str:
        return orjson.dumps(value).decode()


server = socketio.AsyncServer(
    async_mode="asgi",
    transports=["websocket"],
    json=FastJson,
    async_handlers=False,
    http_compression=False,
)


@server.on("connect")
async def connect(sid, _environ) -> None:
    if sys.argv[1] == "fanout":
        await server.enter_room(sid, ROOM)


@server.on("bench")
async def bench(sid, payload) -> None:
    await server.emit("bench", payload, room=sid if sys.argv[1] == "echo" else ROOM)


def end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)


application = socketio.ASGIApp(server)
threading.Thread(target=end_with_stdin, daemon=True).start()
listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
config = uvicorn.Config(
    application,
    loop="uvloop",
    log_level="error",
    ws_per_message_deflate=False,
    ws_ping_interval=None,
    backlog=4096,
)
print(listener.getsockname()[1], flush=True)
uvicorn.Server(config).run(sockets=[listener])
