"""Answers in HTTP that are not the upgrade: refusals, health, pages.

Made by the checks of the handshake, by the acceptor and by the shard; written by whoever holds the socket. Nothing here
reads a socket or a clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from re import compile as _pattern
from typing import Final

__all__ = ["RETRY_AFTER_S", "HTTPAnswer", "parse_answer", "rejection"]

RETRY_AFTER_S: Final = 1
"""Other workers, or this one's replacement, take connections within a second."""

MAX_REASON_BYTES: Final = 4096
"""Of a refusal's text (contract §2): clients look at a line, and an application may pass on whatever it caught."""

_PHRASES = {status.value: status.phrase for status in HTTPStatus}

_CONTROL_CHARACTERS = _pattern(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class HTTPAnswer(Exception):
    """An answer that is not the upgrade: a status, a text (one line, but for pages), and fields besides the usual ones."""

    def __init__(
        self,
        status: int,
        text: str,
        headers: Iterable[tuple[str, str]] = (),
        *,
        has_body: bool = True,
        content_type: str = "text/plain; charset=utf-8",
        is_refusal: bool | None = None,
    ) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text
        self.headers = tuple(headers)
        self.content_type = content_type
        self.is_refusal = status >= 400 if is_refusal is None else is_refusal
        """Whether somebody who wanted something is told no: a probe that asks how we are is not, whatever it hears."""
        self.has_body = has_body
        """False for 304 and for the answer to a HEAD request, which tell the body's size and leave the body out."""

    def encode(self) -> bytes:
        """The whole response. The connection is to be closed behind it."""
        body = self.text.encode("utf-8", "replace")
        fields = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        head = (
            f"HTTP/1.1 {self.status} {_PHRASES.get(self.status, 'Unknown')}\r\n{fields}"
            f"Content-Type: {self.content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode("latin-1", "replace") + (body if self.has_body else b"")


def rejection(status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> HTTPAnswer:
    """The answer to an upgrade that was refused behind `check_request`. A 503 says when to come back, unless `headers` do.

    `text` may be anything: control characters become spaces, and it is cut at 4 KB, between two characters. An empty one becomes
    the status's name.
    """
    line = _cut(_CONTROL_CHARACTERS.sub(" ", text).strip()) or _PHRASES.get(status, "refused").lower()
    if status == 503 and not any(name.lower() == "retry-after" for name, _ in headers):
        headers = (*headers, ("Retry-After", str(RETRY_AFTER_S)))
    return HTTPAnswer(status, line, headers)


def _cut(line: str) -> str:
    if len(line) * 4 <= MAX_REASON_BYTES:
        return line
    return line.encode("utf-8", "replace")[:MAX_REASON_BYTES].decode("utf-8", "ignore").rstrip()


def parse_answer(answer: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """An answer of ours in HTTP as (status, header fields, body), for an ASGI server. What it says of the socket is left out, and
    so is the size in a 304: the server would miss the body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    status = int(line[9:12])
    left_out = (b"connection", b"content-length") if status == 304 else (b"connection",)
    pairs = (field.partition(b": ") for field in fields)
    return status, [(name.lower(), value) for name, _, value in pairs if name.lower() not in left_out], body
