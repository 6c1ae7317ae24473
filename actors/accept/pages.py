"""`StaticPage`: one of the few static texts that a server shows to browsers; and those that every server shows: the client, and
what it is.

Made when a worker starts, by the runtime and by a built-in application. The handshake looks among them for what is neither the
WebSocket path nor the health check, so an upgrade never pays for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from re import IGNORECASE
from re import compile as _pattern
from typing import Final

from wspulse.actors.values.options.server_options import ServerOptions
from wspulse.actors.wire.answer import HTTPAnswer

__all__ = ["StaticPage", "client_pages", "own_pages"]

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing inline, nothing from elsewhere: a name that some page did turn into HTML could still not run."""

_FOR_EVERYBODY: Final = (
    ("Cache-Control", "no-cache"),  # asked for again each time and answered 304: a new release is seen at once
    ("X-Content-Type-Options", "nosniff"),
    ("Access-Control-Allow-Origin", "*"),  # modules are fetched with CORS, by pages that are files too
    ("Cross-Origin-Resource-Policy", "cross-origin"),
)

_FOR_OURSELVES: Final = (
    ("Cache-Control", "no-cache"),
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),  # the address may hold a room's name
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)

_IF_NONE_MATCH = _pattern(rb"\r\nif-none-match:([^\r]*)", IGNORECASE)


class StaticPage:
    """One static text, answered as it is, with a strong validator made of it. `is_open`: pages of other origins may load it;
    `is_for_browsers`: see `Page`."""

    def __init__(self, text: str, content_type: str, *, is_open: bool = False, is_for_browsers: bool = False) -> None:
        self.is_for_browsers = is_for_browsers
        self.text = text
        self.content_type = content_type
        self._fields = _FOR_EVERYBODY if is_open else _FOR_OURSELVES
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
            (("ETag", self.etag), *self._fields),
            content_type=self.content_type,
            has_body=not is_known,
        )


@cache
def client_pages() -> Mapping[str, StaticPage]:
    """The browser's client and its types, by path."""
    folder = files("wspulse.actors") / "apps" / "page"
    return {
        "/wspulse.js": StaticPage(
            (folder / "wspulse.js").read_text("utf-8"), "text/javascript; charset=utf-8", is_open=True
        ),
        "/wspulse.d.ts": StaticPage(
            (folder / "wspulse.d.ts").read_text("utf-8"), "application/typescript; charset=utf-8", is_open=True
        ),
    }


def own_pages(options: ServerOptions, websocket_path: str) -> Mapping[str, StaticPage]:
    """The pages of a server with these options, by path; "/" is left to an application that is served on the same port."""
    pages = dict(client_pages()) if options.client else {}
    if options.index and options.http_app is None:
        text = f"This is a WebSocket server, running wspulse. Its WebSocket endpoint is {websocket_path}\n"
        # Probes, which ask for "/" unless they are told otherwise, go on being told that nothing is there.
        pages["/"] = StaticPage(text, "text/plain; charset=utf-8", is_for_browsers=True)
    return pages
