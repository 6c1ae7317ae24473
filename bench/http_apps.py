"""What the HTTP bench serves: a bare ASGI application, so that what is compared is the servers."""

from __future__ import annotations

from typing import Any

from wspulse import Request, Server

__all__ = ["app", "server"]

_BODY = b"hello"
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"5")],
}


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for answer in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{answer}.complete"})
        return
    await send(_START)
    await send({"type": "http.response.body", "body": _BODY})


def _connect(request: Request) -> tuple[str, str]:
    return "lobby", ""


server = Server(_connect, http_app=app)
server.on_message(lambda connection, frame: connection.send_nowait(frame))
