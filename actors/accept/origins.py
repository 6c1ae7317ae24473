"""`allow_origins`, `--allow-origin`: which web pages' scripts may connect (RFC 6454, RFC 6455 §10.2).

A browser may send a site's cookies with a WebSocket request whatever page makes it (SameSite cookies only for pages of the
site): where cookies say who connects, another site's page could act in its visitor's name, unless its origin is checked.
`reads_cookies` finds out which applications need that.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from types import CodeType
from typing import Any
from urllib.parse import urlsplit

from wspulse.actors.values.request import Request

__all__ = ["OriginCheck", "allow_origins", "parse_origin", "reads_cookies"]

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
    except (ValueError, AttributeError, TypeError):  # of what is not a str, too
        host = None
    if not host or not scheme or text.lower() != f"{scheme}://{parts.netloc}".lower() or "@" in text:
        raise ValueError(f"{text!r} is not an origin; allowed: scheme://host[:port] or null")
    if ":" in host:
        host = f"[{host}]"
    return f"{scheme}://{host}" if port in (None, DEFAULT_PORTS.get(scheme)) else f"{scheme}://{host}:{port}"


class OriginCheck:
    """A `check_origin` that lets the listed origins in, and clients that send no Origin header: every browser sends one, and
    any other client could send what it likes."""

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


def allow_origins(origins: Iterable[str]) -> OriginCheck:
    """A `check_origin` for `Server`: pages of these origins may connect, and clients that send no Origin header.

    An origin is scheme://host[:port], as browsers send it, or "null" for files and sandboxed frames. Raises ValueError for
    anything else.
    """
    if isinstance(origins, (str, bytes)) or not isinstance(origins, Iterable):
        raise ValueError(f"wspulse: allow_origins: {origins!r} is not a list; allowed: a list of origins")
    try:
        return OriginCheck(origins)
    except ValueError as error:
        raise ValueError(f"wspulse: allow_origins: {error}") from None


def reads_cookies(connect: Callable[..., Any]) -> bool:
    """Whether a connect handler, or a function of its module that it names, looks at the cookies of its request, or at the
    session or user that a middleware found by them. It reads the code and runs nothing, so it may miss some. A handler that
    knows better says so by an attribute of the same name."""
    if (is_known := getattr(connect, "reads_cookies", None)) is not None:
        return bool(is_known)
    pending = [inspect.unwrap(connect)]
    seen: set[object] = set()
    while pending:
        function: Any = pending.pop()
        if inspect.ismethod(function):
            function = function.__func__
        elif not inspect.isfunction(function):
            function = inspect.getattr_static(function, "__call__", None)
        if function in seen or not inspect.isfunction(function):
            continue
        seen.add(function)
        names, texts = _names_and_texts(function.__code__)
        if "cookies" in names or "cookie" in texts or ("scope" in names and texts & {"session", "user"}):
            return True
        named = (function.__globals__.get(name) for name in names)
        pending += [
            found for found in named if getattr(found, "__module__", None) == function.__module__ and callable(found)
        ]
    return False


def _names_and_texts(code: CodeType) -> tuple[set[str], set[str]]:
    names, texts = set(code.co_names), {item.lower() for item in code.co_consts if isinstance(item, str)}
    for item in code.co_consts:
        if isinstance(item, CodeType):
            inner_names, inner_texts = _names_and_texts(item)
            names |= inner_names
            texts |= inner_texts
    return names, texts
