# mypy: ignore-errors
# Its packages are only in the venv of the peers.
"""A room and an echo on FastAPI with uvicorn: python fastapi_server.py echo|fanout"""

from __future__ import annotations

import os
import socket
import sys
import threading

import orjson
import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

MEMBERS: set[WebSocket] = set()
application = FastAPI()


async def echo(peer: WebSocket) -> None:
    await peer.accept()
    try:
        while True:
            await peer.send_text(orjson.dumps(orjson.loads(await peer.receive_text())).decode())
    except WebSocketDisconnect:
        pass


async def member(peer: WebSocket) -> None:
    await peer.accept()
    MEMBERS.add(peer)
    try:
        while True:
            text = orjson.dumps(orjson.loads(await peer.receive_text())).decode()
            for other in list(MEMBERS):
                await other.send_text(text)
    except WebSocketDisconnect:
        pass
    finally:
        MEMBERS.discard(peer)


def end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)


application.add_api_websocket_route("/ws", echo if sys.argv[1] == "echo" else member)
threading.Thread(target=end_with_stdin, daemon=True).start()
listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
config = uvicorn.Config(application, loop="uvloop", log_level="error", ws_per_message_deflate=False, backlog=4096)
print(listener.getsockname()[1], flush=True)
uvicorn.Server(config).run(sockets=[listener])
