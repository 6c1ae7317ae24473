"""The options of a server: their defaults, ranges and reasons (contract.md §5).

`ServerOptions` is built and checked by `Server`; the supervisor sends overrides (from flags, environment and file) as a
dict of the same names. Nothing here knows of sockets or processes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from logging import Logger, getLogger
from typing import Any

from wspulse.actors.values.codec import Codec, JSONCodec

__all__ = ["ON_DUPLICATE_MODES", "ServerOptions"]

ON_DUPLICATE_MODES = ("kick", "resume", "reject")

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110 §5.6.2."""


def _fail(option: str, problem: str) -> ValueError:
    return ValueError(f"wspulse: {option}: {problem}")


def _number(option: str, value: Any, low: float, high: float, *, above: bool = False) -> float:
    allowed = f"allowed is {'above ' if above else ''}{low:g} … {high:g} seconds"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _fail(option, f"{value!r} is no number; {allowed}")
    if not (low < value if above else low <= value) or not value <= high:
        raise _fail(option, f"{value!r} is out of range; {allowed}")
    return float(value)


def _integer(option: str, value: Any, low: int, high: int, unit: str) -> int:
    allowed = f"allowed is {low} … {high} {unit}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise _fail(option, f"{value!r} is no integer; {allowed}")
    if not low <= value <= high:
        raise _fail(option, f"{value!r} is out of range; {allowed}")
    return value


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """The checked options of one server. Raises ValueError "wspulse: <option>: ..." at construction."""

    resume_window: float = 0.0
    suspend_on_clean_close: bool = True
    on_duplicate: str = "kick"
    subprotocols: tuple[str, ...] = ()
    ping_period: float = 10.0
    pong_wait: float = 30.0
    write_wait: float = 10.0
    max_message_size: int = 512
    send_buffer_size: int = 256
    codec: Codec = field(default_factory=JSONCodec)
    check_origin: Callable[..., Any] | None = None
    handshake_timeout: float = 10.0
    publish_messages: bool = False
    http_app: Callable[..., Any] | None = None
    logger: Logger = field(default_factory=lambda: getLogger("wspulse"))

    def __post_init__(self) -> None:
        def put(option: str, value: Any) -> None:
            object.__setattr__(self, option, value)

        put("resume_window", _number("resume_window", self.resume_window, 0, 180))
        for option in ("suspend_on_clean_close", "publish_messages"):
            value = getattr(self, option)
            if not isinstance(value, bool):
                raise _fail(option, f"{value!r} is no bool; allowed is True or False")
        if self.on_duplicate not in ON_DUPLICATE_MODES:
            raise _fail("on_duplicate", f"{self.on_duplicate!r} is unknown; allowed is 'kick', 'resume' or 'reject'")
        if self.on_duplicate == "resume" and self.resume_window == 0:
            raise _fail("on_duplicate", "'resume' needs a resume_window above 0")
        put("subprotocols", _subprotocols(self.subprotocols))
        put("ping_period", _number("ping_period", self.ping_period, 0, 300, above=True))
        put("pong_wait", _number("pong_wait", self.pong_wait, 0, 600, above=True))
        if self.pong_wait <= self.ping_period:
            raise _fail("pong_wait", f"{self.pong_wait:g} must be above ping_period ({self.ping_period:g})")
        put("write_wait", _number("write_wait", self.write_wait, 0, 30, above=True))
        _integer("max_message_size", self.max_message_size, 1, 64 * 1024 * 1024, "bytes")
        _integer("send_buffer_size", self.send_buffer_size, 1, 4096, "frames")
        _check_codec(self.codec)
        if self.check_origin is not None and not callable(self.check_origin):
            raise _fail("check_origin", f"{self.check_origin!r} is not callable; allowed is callable(request) -> bool")
        if self.http_app is not None and not callable(self.http_app):
            raise _fail("http_app", f"{self.http_app!r} is not callable; allowed is an ASGI application")
        put("handshake_timeout", _number("handshake_timeout", self.handshake_timeout, 0, 60, above=True))
        if not isinstance(self.logger, Logger):
            raise _fail("logger", f"{self.logger!r} is no logging.Logger")

    def overridden(self, overrides: dict[str, Any]) -> ServerOptions:
        """These options with some replaced. Raises ValueError as construction does, also for an unknown name."""
        known = {item.name for item in fields(self)}
        for option in overrides:
            if option not in known:
                raise _fail(option, f"unknown option; allowed is {', '.join(sorted(known))}")
        return replace(self, **overrides)


def _subprotocols(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise _fail("subprotocols", f"{value!r} is no sequence of names")
    for name in value:
        if not isinstance(name, str) or not TOKEN.fullmatch(name):
            raise _fail("subprotocols", f"{name!r} is no token; allowed are letters, digits and !#$%&'*+-.^_`|~")
    if len(set(value)) != len(value):
        raise _fail("subprotocols", "a name stands twice")
    return tuple(value)


def _check_codec(codec: Any) -> None:
    if isinstance(codec, type):
        raise _fail("codec", f"{codec!r} is a class; allowed is an object of it")
    for member in ("encode", "decode"):
        if not callable(getattr(codec, member, None)):
            raise _fail("codec", f"{codec!r} has no callable member {member!r}; a codec has encode, decode and binary")
    binary = getattr(codec, "binary", "absent")
    if not isinstance(binary, bool) and binary is not None:
        raise _fail("codec", f"{codec!r} needs a member 'binary' that is True, False or None")
