"""The files of the operator's page, as answers by path; read once, when the process starts."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files

from wspulse.supervisor.admin.site.answers import Answer

__all__ = ["Asset", "load_assets"]

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

_FILES = {
    "/": "index.html",
    "/page.css": "page.css",
    "/page.js": "page.js",
    "/panels.js": "panels.js",
    "/charts.js": "charts.js",
    "/server.js": "server.js",
}

_SHARED_FILES = {"/theme.css": "theme.css", "/icon.svg": "icon.svg"}
"""Of the chat page."""


class Asset:
    """One file, with a strong validator made of its content."""

    def __init__(self, body: bytes, content_type: str) -> None:
        etag = f'"{sha256(body).hexdigest()[:24]}"'
        self._etag = etag
        self._whole = Answer(200, body, content_type, [("ETag", etag)], is_stored=True)
        self._known = Answer(304, b"", content_type, [("ETag", etag)], is_stored=True)

    def answer(self, headers: Mapping[str, str]) -> Answer:
        """304 where the browser has it already."""
        tags = [tag.strip().removeprefix("W/") for tag in headers.get("if-none-match", "").split(",")]
        return self._known if self._etag in tags else self._whole


def load_assets() -> dict[str, Asset]:
    own, shared = files("wspulse.supervisor.admin") / "page", files("wspulse.actors") / "apps" / "page"
    found = {path: own / name for path, name in _FILES.items()} | {
        path: shared / name for path, name in _SHARED_FILES.items()
    }
    return {path: Asset(file.read_bytes(), _TYPES[file.name.rpartition(".")[2]]) for path, file in found.items()}
