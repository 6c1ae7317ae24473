"""`--allow-origin`: which web pages' scripts may connect (RFC 6454, RFC 6455 §10.2).

Parsed in the supervisor, so that a wrong value is refused at once; asked in the workers, as the server's
`check_origin`.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from wspulse.actors.request import Request

__all__ = ["OriginCheck", "parse_origin"]

DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def parse_origin(text: str) -> str:
    """The one form in which origins are compared: lower case, without the scheme's own port. "null" is itself: it is
    what browsers send for files and sandboxed frames. Raises ValueError for anything else than "null" or
    scheme://host[:port]."""
    if text == "null":
        return text
    try:
        parts = urlsplit(text)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or not scheme or text.lower() != f"{scheme}://{parts.netloc}".lower() or "@" in text:
        raise ValueError(f"{text!r} is no origin; allowed is scheme://host[:port] or null")
    if ":" in host:
        host = f"[{host}]"
    return f"{scheme}://{host}" if port in (None, DEFAULT_PORTS.get(scheme)) else f"{scheme}://{host}:{port}"


class OriginCheck:
    """A `check_origin` that lets the listed origins in, and clients that send no Origin header: every browser sends it,
    and who is no browser could send any."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._allowed = frozenset(parse_origin(origin) for origin in origins)

    def __call__(self, request: Request) -> bool:
        origin = request.headers.get("Origin")
        if origin is None:
            return True
        try:
            return parse_origin(origin) in self._allowed
        except ValueError:
            return False
