"""The options of a server: their defaults and what they allow (contract §5).

`ServerOptions` is where a default and a range are written, and the only place: `Server`, the table of options and the
settings of the command line take them from here. It is built and checked by `Server`; the supervisor sends overrides (from
flags, environment and file) as a dict of the same names. Nothing here knows of sockets or processes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from logging import Logger, getLogger
from typing import Annotated, Any, get_type_hints

from wspulse.actors.values.codec import Codec, JSONCodec
from wspulse.actors.values.options.kinds import Checked, Count, Duration, OneOf, OptionKind, Truth
from wspulse.actors.values.text.exact import RESERVED

__all__ = ["DEFAULTS", "OPTION_KINDS", "TOKEN", "ServerOptions"]

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110 §5.6.2."""


def _subprotocols(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(f"{value!r} is not a sequence of names")
    for name in value:
        if not isinstance(name, str) or not TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is not a token; allowed: letters, digits and !#$%&'*+-.^_`|~")
        if name.startswith(RESERVED):
            raise ValueError(f"{name!r} is reserved; the server offers its own subprotocols by itself")
    if len(set(value)) != len(value):
        raise ValueError("a name appears twice")
    return tuple(value)


def _codec(codec: Any) -> Any:
    if isinstance(codec, type):
        raise ValueError(f"{codec!r} is a class; pass an instance of it")
    for member in ("encode", "decode"):
        if not callable(getattr(codec, member, None)):
            raise ValueError(f"{codec!r} has no callable member {member!r}; a codec has encode, decode and binary")
    binary = getattr(codec, "binary", "absent")
    if not isinstance(binary, bool) and binary is not None:
        raise ValueError(f"{codec!r} needs a member 'binary' that is True, False or None")
    return codec


def _origin_check(value: Any) -> Any:
    if value is not None and not callable(value):
        raise ValueError(f"{value!r} is not callable; allowed: callable(request) -> bool")
    return value


def _compression(value: Any) -> Any:
    if value is not None and value != "deflate":
        raise ValueError(f"{value!r} is unknown; allowed: None or 'deflate'")
    return value


def _http_application(value: Any) -> Any:
    if value is not None and not callable(value):
        raise ValueError(f"{value!r} is not callable; allowed: an ASGI application")
    return value


def _logger(value: Any) -> Any:
    if not isinstance(value, Logger):
        raise ValueError(f"{value!r} is not a logging.Logger")
    return value


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """The checked options of one server. Raises ValueError "wspulse: <option>: ..." at construction."""

    resume_window: Annotated[float, Duration(0, 180)] = 0.0
    suspend_on_clean_close: Annotated[bool, Truth()] = True
    on_duplicate: Annotated[str, OneOf(("kick", "resume", "reject"))] = "kick"
    subprotocols: Annotated[tuple[str, ...], Checked("sequence of tokens", "none", _subprotocols)] = ()
    ping_period: Annotated[float, Duration(0, 300, above=True)] = 10.0
    pong_wait: Annotated[float, Duration(0, 600, above=True, floor="ping_period")] = 30.0
    write_wait: Annotated[float, Duration(0, 30, above=True)] = 10.0
    max_message_size: Annotated[int, Count(1, 64 * 1024 * 1024, "bytes")] = 512
    send_buffer_size: Annotated[int, Count(1, 4096, "frames")] = 256
    send_buffer_bytes: Annotated[int, Count(1024, 1024 * 1024 * 1024, "bytes")] = 4 * 1024 * 1024
    max_rooms_per_connection: Annotated[int, Count(1, 4096, "rooms")] = 128
    max_connections: Annotated[int, Count(0, 10_000_000, "connections")] = 0
    max_connections_per_address: Annotated[int, Count(0, 10_000_000, "connections")] = 0
    accept_rate: Annotated[int, Count(0, 10_000_000, "connections per second")] = 0
    max_frames_per_second: Annotated[int, Count(0, 10_000_000, "frames per second")] = 0
    max_bytes_per_second: Annotated[int, Count(0, 10_000_000_000, "bytes per second")] = 0
    compression: Annotated[str | None, Checked('None, "deflate"', "none", _compression)] = None
    codec: Annotated[Codec, Checked("a codec", "JSONCodec()", _codec)] = field(default_factory=JSONCodec)
    check_origin: Annotated[
        Callable[..., Any] | None, Checked("callable(request) -> bool", "allow all", _origin_check)
    ] = None
    handshake_timeout: Annotated[float, Duration(0, 60, above=True)] = 10.0
    slow_handler: Annotated[float, Duration(0, 3600)] = 10.0
    handler_timeout: Annotated[float, Duration(0, 3600)] = 0.0
    cancel_on_disconnect: Annotated[bool, Truth()] = False
    access_log: Annotated[bool, Truth()] = False
    publish_messages: Annotated[bool, Truth()] = False
    http_app: Annotated[Callable[..., Any] | None, Checked("an ASGI application", "none", _http_application)] = None
    client: Annotated[bool, Truth()] = True
    index: Annotated[bool, Truth()] = True
    logger: Annotated[Logger, Checked("a logger", 'logging.getLogger("wspulse")', _logger)] = field(
        default_factory=lambda: getLogger("wspulse")
    )

    def __post_init__(self) -> None:
        # Of several that are wrong the first in this order is told; what two options have to do with each other is looked
        # at when both are known to be right.
        self._check("resume_window", "suspend_on_clean_close", "publish_messages", "on_duplicate")
        if self.on_duplicate == "resume" and self.resume_window == 0:
            raise _fail("on_duplicate", "'resume' needs a resume_window above 0")
        self._check("subprotocols", "ping_period", "pong_wait")
        if self.pong_wait <= self.ping_period:
            raise _fail("pong_wait", f"{self.pong_wait:g} must be above ping_period ({self.ping_period:g})")
        self._check(
            "write_wait", "max_message_size", "send_buffer_size", "send_buffer_bytes", "max_rooms_per_connection"
        )
        self._check("max_connections", "max_connections_per_address", "accept_rate")
        self._check("max_frames_per_second", "max_bytes_per_second")
        self._check("compression", "codec", "check_origin", "http_app", "client", "index", "handshake_timeout")
        self._check("slow_handler", "handler_timeout", "cancel_on_disconnect", "access_log", "logger")

    def _check(self, *options: str) -> None:
        """Bring them to their final form. Raises ValueError for the first that is wrong."""
        for option in options:
            try:
                object.__setattr__(self, option, OPTION_KINDS[option].checked(getattr(self, option)))
            except ValueError as error:
                raise _fail(option, str(error)) from None

    def overridden(self, overrides: dict[str, Any]) -> ServerOptions:
        """These options with some replaced. Raises ValueError as construction does, also for an unknown name."""
        known = {item.name for item in fields(self)}
        for option in overrides:
            if option not in known:
                raise _fail(option, f"unknown option; allowed: {', '.join(sorted(known))}")
        return replace(self, **overrides)


def _fail(option: str, problem: str) -> ValueError:
    return ValueError(f"wspulse: {option}: {problem}")


OPTION_KINDS: Mapping[str, OptionKind] = {
    option: hint.__metadata__[0] for option, hint in get_type_hints(ServerOptions, include_extras=True).items()
}
"""Option → what it allows, in the order of the options."""

DEFAULTS = ServerOptions()
