"""`Answer`: what a request is answered with, and the fields that every answer has.

Made by the application and what it asks; written by it. No I/O but `send`, which ASGI's server gives.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from wspulse.actors.values.asgi import Send

__all__ = ["JSON", "TEXT", "Answer", "failure", "json_answer", "plain"]

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing inline, nothing from elsewhere: an id that some page did turn into HTML could still not run."""

FIELDS = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


class Answer:
    """A status, a body and fields besides the usual ones. `is_stored`: a browser may keep it, and asks whether it is current."""

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        content_type: str = TEXT,
        fields: Iterable[tuple[str, str]] = (),
        *,
        is_stored: bool = False,
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.fields = (("Cache-Control", "no-cache" if is_stored else "no-store"), *FIELDS, *fields)

    async def begin(self, send: Send, *, length: bool = True) -> None:
        """Its head; without `length`, of a body whose end is not known."""
        fields = [("Content-Type", self.content_type), *self.fields]
        if length:
            fields.append(("Content-Length", str(len(self.body))))
        headers = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in fields]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})

    async def send(self, send: Send) -> None:
        """The whole."""
        await self.begin(send)
        await send({"type": "http.response.body", "body": self.body})


def plain(status: int, text: str, fields: Iterable[tuple[str, str]] = ()) -> Answer:
    """Of a text for people and probes."""
    return Answer(status, f"{text}\n".encode("utf-8", "replace"), fields=fields)


def json_answer(value: Any, status: int = 200) -> Answer:
    return Answer(status, msgspec.json.encode(value), JSON)


def failure(status: int, code: str, message: str) -> Answer:
    """Of what a program asked for; errors look as on the control socket."""
    return json_answer({"error": {"code": code, "message": message}}, status)
