"""The chat page of `relay`, and what it loads: files of `page/`, read when a worker starts and from nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Final

from wspulse.actors.accept.pages import StaticPage

__all__ = ["chat_pages"]

_FILES: Final = (
    "index.html",
    "chat.js",
    "document.js",
    "identity.js",
    "people.js",
    "placement.js",
    "scissors.js",
    "wspulse.js",
    "theme.css",
    "chat.css",
    "icon.svg",
)

_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}


def chat_pages(websocket_path: str) -> Mapping[str, StaticPage]:
    """The chat page of `relay` at "/", and what it loads. It is told where the WebSocket is."""
    folder = files("wspulse.actors.apps") / "page"
    pages = {}
    for name in _FILES:
        text = (folder / name).read_text("utf-8")
        if name == "index.html":
            text = text.replace("{{websocket-path}}", escape(websocket_path))
        path = "/" if name == "index.html" else f"/_wspulse/{name}"
        pages[path] = StaticPage(text, _TYPES[name.rpartition(".")[2]])
    return pages
