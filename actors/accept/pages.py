"""Pages: the few static texts that a built-in application shows to browsers.

Read from this package when a worker starts, and from nowhere else. The handshake looks here for what is neither the
WebSocket path nor the health check, so an upgrade never pays for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from html import escape
from importlib.resources import files
from re import IGNORECASE
from re import compile as _pattern
from typing import Final

from wspulse.actors.wire.handshake import HTTPAnswer

__all__ = ["Page", "Pages", "chat_pages"]

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing inline, nothing from elsewhere: a name that some page did turn into HTML could still not run."""

_FIELDS: Final = (
    ("Cache-Control", "no-cache"),  # asked for again each time and answered 304: a new release is seen at once
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),  # the address may hold a room's name
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)

_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}

_IF_NONE_MATCH = _pattern(rb"\r\nif-none-match:([^\r]*)", IGNORECASE)


class Page:
    """One static text, answered as it is, with a strong validator made of it."""

    def __init__(self, text: str, content_type: str) -> None:
        self.text = text
        self.content_type = content_type
        self.etag = f'"{sha256(text.encode()).hexdigest()[:24]}"'

    def answer(self, head: bytes) -> HTTPAnswer:
        """The answer to a GET with this head: 304 where the client has the text already."""
        is_known = False
        found = _IF_NONE_MATCH.search(head)
        if found is not None:
            tags = [tag.strip().removeprefix("W/") for tag in found[1].decode("latin-1").split(",")]
            is_known = self.etag in tags or "*" in tags
        return HTTPAnswer(
            304 if is_known else 200,
            self.text,
            (("ETag", self.etag), *_FIELDS),
            content_type=self.content_type,
            has_body=not is_known,
        )


Pages = Mapping[str, Page]
"""Decoded path → page."""


def chat_pages(websocket_path: str) -> Pages:
    """The chat page of `relay` at "/", and what it loads. It is told where the WebSocket is."""
    folder = files("wspulse.actors.apps") / "page"
    pages = {}
    for name in ("index.html", "chat.js", "line.js", "placement.js", "chat.css", "icon.svg"):
        text = (folder / name).read_text("utf-8")
        if name == "index.html":
            text = text.replace("{{websocket-path}}", escape(websocket_path))
        path = "/" if name == "index.html" else f"/_wspulse/{name}"
        pages[path] = Page(text, _TYPES[name.rpartition(".")[2]])
    return pages
