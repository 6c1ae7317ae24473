"""What a mounted server answers to requests over HTTP: its client, and to all else that a WebSocket belongs there.

Asked by the ASGI applications of this folder. It knows no session.
"""

from __future__ import annotations

from typing import Final

from wspulse.actors.values.asgi import Scope, Send
from wspulse.actors.values.request import Request
from wspulse.actors.wire.answer import HTTPAnswer, parse_answer
from wspulse.actors.wire.handshake import Pages

__all__ = ["NO_PAGES", "answer_http"]

NO_PAGES: Final[Pages] = {}

_NO_WEBSOCKET: Final = HTTPAnswer(
    426,
    "a WebSocket upgrade (version 13) is required here",
    (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")),
)


async def answer_http(scope: Scope, send: Send, pages: Pages = NO_PAGES) -> None:
    """Answer one request. A page is found by the end of the path, wherever in an application the server is mounted."""
    method = scope.get("method")
    page = pages.get("/" + scope.get("path", "").rpartition("/")[2]) if method in ("GET", "HEAD") else None
    answer = _NO_WEBSOCKET if page is None else page.answer(Request.from_scope(scope).head)
    status, headers, body = parse_answer(answer.encode())
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})
