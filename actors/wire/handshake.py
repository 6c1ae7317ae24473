"""The opening handshake as a machine: the checks of contract §2 on a request's head, and the 101.

The acceptor judges a gathered head with `check_request`; the shard that owns the connection sends the 101. The checks that
need the application or another shard are theirs. Nothing here reads a socket or a clock.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha1
from re import IGNORECASE, Match
from re import compile as _pattern
from typing import Final, Protocol

from wspulse.actors.values.health import Health
from wspulse.actors.values.request import path_of_target
from wspulse.actors.values.text.exact import RESUME_PREFIX, Claim, claim_in
from wspulse.actors.wire.answer import HTTPAnswer, rejection
from wspulse.actors.wire.compression.agreement import NO_AGREEMENT

__all__ = [
    "HEALTH_PATH",
    "CheckedHead",
    "Page",
    "Pages",
    "check_request",
    "choose_subprotocol",
    "head_without_claims",
    "key_of",
    "switching_protocols",
    "without_claims",
]

HEALTH_PATH: Final = "/healthz"

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 §1.3."""

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_VALUE = rb"[\t\x20-\x7e\x80-\xff]*+"

_REQUEST_LINE = _pattern(rb"(" + _TOKEN + rb") ([\x21-\x7e\x80-\xff]++) HTTP/(\d\.\d)")
_HEADER_LINES = _pattern(rb"(?:\r\n" + _TOKEN + rb":" + _VALUE + rb")*+")
"""All of a well-formed request behind its request line. Quantifiers are possessive: no head makes it slow."""

_HEADER_LINE = _pattern(_TOKEN + rb":" + _VALUE)

_READ_FIELDS = _pattern(
    rb"\r\n(host|origin|upgrade|connection|sec-websocket-key|sec-websocket-version|sec-websocket-protocol"
    rb"|content-length|transfer-encoding):[ \t]*+([^\r]*)"
)
"""In lower case, which is cheaper than to look for any."""

_KEY_LINE = b"\r\nsec-websocket-key:"
_key_at = _pattern(rb"[ \t]*+([A-Za-z0-9+/]{22}==)[ \t]*+(?:\r|\Z)").match
_OFFERS = _pattern(rb"(\r\nsec-websocket-protocol:[ \t]*+)([^\r]*)", IGNORECASE)
_is_token = _pattern(_TOKEN).fullmatch
_is_host = _pattern(rb"[A-Za-z0-9._~!$&'()*+,;=:%\[\]\-]*+[ \t]*+").fullmatch

_LIST_FIELDS = frozenset({b"upgrade", b"connection", b"sec-websocket-protocol", b"transfer-encoding"})
"""Those of _READ_FIELDS that may stand on several lines; any other that does is refused."""

_SPACE = b" \t"

_ACCEPTING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "


class Page(Protocol):
    """A text of the server's own that a GET may ask for."""

    is_for_browsers: bool
    """Only for who reads it with a GET or HEAD of HTTP/1.1: others are answered as where there is no page."""

    def answer(self, head: bytes) -> HTTPAnswer:
        """The answer to a GET with this head."""


Pages = Mapping[str, Page]
"""Decoded path → page."""


class CheckedHead:
    """The head of a request that may become a WebSocket."""

    __slots__ = ("agreement", "claim", "head", "key", "offered_subprotocols")

    def __init__(
        self, head: bytes, key: str, offered_subprotocols: tuple[str, ...], claim: Claim | None = None
    ) -> None:
        self.head = head
        """Without what the client claims, which is a secret."""
        self.key = key
        """What `switching_protocols` answers."""
        self.offered_subprotocols = offered_subprotocols
        self.claim = claim
        self.agreement = NO_AGREEMENT
        """About compression, which is looked at behind these checks, where the server has the option."""


_NO_PAGES: Final[Mapping[str, Page]] = {}


def check_request(
    head: bytes,
    *,
    path: str,
    draining: bool,
    pages: Pages = _NO_PAGES,
    health: Health | None = None,
    limit: Callable[[], HTTPAnswer | None] | None = None,
) -> CheckedHead | HTTPAnswer:
    """Judge a complete head by contract §2, in the order of its table, up to the checks of the application.

    `path` is the WebSocket path, decoded. Header fields that no check names are not looked at, but their lines must be
    well-formed. An answer that is no refusal is the one to /healthz, which tells of `health`, or one of `pages`. `limit()` says
    how somebody is refused who wants what is at `path`, where there are too many.
    """
    line_end = head.find(b"\r\n")
    if line_end < 0:
        line_end = len(head)
    line = _REQUEST_LINE.fullmatch(head, 0, line_end)
    if line is None:
        return HTTPAnswer(400, "malformed request line")
    method, target, version = line.groups()
    answer = None
    if method != b"GET" or version != b"1.1" or target.partition(b"?")[0] != path.encode():
        answer = _check_route(method, target, version, path, draining, pages, head, health)
    if answer is None and limit is not None:
        answer = limit()
    if answer is None and method != b"GET":
        answer = HTTPAnswer(405, "only GET is allowed", [("Allow", "GET")])
    result = answer if answer is not None else _check_fields(head, line_end, draining)
    if method == b"HEAD" and isinstance(result, HTTPAnswer):
        result.has_body = False
    return result


def _check_route(
    method: bytes,
    target: bytes,
    version: bytes,
    path: str,
    draining: bool,
    pages: Pages,
    head: bytes,
    health: Health | None,
) -> HTTPAnswer | None:
    page: Page | None = None
    if target.partition(b"?")[0] != path.encode():
        requested_path, _ = path_of_target(target.decode("utf-8", "replace"))
        if requested_path == HEALTH_PATH != path:
            return _health_answer(method, version, draining, health)
        if requested_path != path:
            page = pages.get(requested_path)
            is_reading = version == b"1.1" and method in (b"GET", b"HEAD")
            if page is None or (page.is_for_browsers and not is_reading):
                return HTTPAnswer(404, "not found")
    if version != b"1.1":
        return HTTPAnswer(505, "only HTTP/1.1 is supported")
    if page is not None:
        return _check_reading(method, draining) or page.answer(head)
    return None


def _health_answer(method: bytes, version: bytes, draining: bool, health: Health | None) -> HTTPAnswer:
    """Probes speak HTTP/1.0, as HAProxy's and nginx's do by default, and ask with any method that changes nothing."""
    if version not in (b"1.1", b"1.0"):
        return HTTPAnswer(505, "only HTTP/1.1 and HTTP/1.0 are supported")
    if method not in (b"GET", b"HEAD", b"OPTIONS"):
        return HTTPAnswer(405, "only GET, HEAD and OPTIONS are allowed", [("Allow", "GET, HEAD, OPTIONS")])
    if draining:
        return _not_well("draining")
    if health is None or health.ok:
        return HTTPAnswer(200, "ok")
    return _not_well("; ".join(health.reasons))


def _not_well(why: str) -> HTTPAnswer:
    answer = rejection(503, why)
    answer.is_refusal = False
    return answer


def _check_reading(method: bytes, draining: bool) -> HTTPAnswer | None:
    """What stands against an answer that is no upgrade."""
    if method not in (b"GET", b"HEAD"):
        return HTTPAnswer(405, "only GET and HEAD are allowed", [("Allow", "GET, HEAD")])
    return rejection(503, "draining") if draining else None


def _check_fields(head: bytes, line_end: int, draining: bool) -> CheckedHead | HTTPAnswer:
    readable = head[line_end:]
    is_well_formed = _HEADER_LINES.fullmatch(readable) is not None
    if not is_well_formed:
        # The checks that come first must not be fooled by a malformed line, nor be answered by its 400.
        lines = readable.split(b"\r\n")[1:]
        readable = b"".join(b"\r\n" + line for line in lines if _HEADER_LINE.fullmatch(line))
    lowered = readable.lower()
    lines_read = _READ_FIELDS.findall(lowered)
    fields = dict(lines_read)
    twice = b""
    if len(fields) < len(lines_read):
        fields, twice = _joined(lines_read)

    upgrade, connection = fields.get(b"upgrade", b""), fields.get(b"connection", b"")
    version = fields.get(b"sec-websocket-version", b"")
    # What most clients send is looked at without its parts.
    if (
        (upgrade != b"websocket" and not _has_item(upgrade, b"websocket"))
        or (connection != b"upgrade" and not _has_item(connection, b"upgrade"))
        or (version != b"13" and not _has_item(version, b"13"))
    ):
        return HTTPAnswer(
            426,
            "a WebSocket upgrade (version 13) is required here",
            [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")],
        )

    if not is_well_formed:
        return HTTPAnswer(400, "malformed header line")
    if twice:
        return HTTPAnswer(400, f"header appears more than once: {twice.decode()}")
    at = lowered.find(_KEY_LINE)
    key = _key_at(readable, at + len(_KEY_LINE)) if at >= 0 else None
    if key is None:
        return HTTPAnswer(400, "Sec-WebSocket-Key is not 16 bytes in base64")
    if version.rstrip(_SPACE) != b"13":
        return HTTPAnswer(400, "Sec-WebSocket-Version has more than one value")
    # RFC 9112 §3.2 demands exactly one Host of every HTTP/1.1 request.
    host = fields.get(b"host")
    if host is None or not _is_host(host):
        return HTTPAnswer(400, "Host is missing or malformed")
    # The body of a request would be taken for frames.
    if fields.get(b"content-length", b"0").rstrip(_SPACE) != b"0" or b"transfer-encoding" in fields:
        return HTTPAnswer(400, "an upgrade request must not have a body")
    subprotocols: tuple[str, ...] = ()
    claim: Claim | None = None
    if b"sec-websocket-protocol" in fields:
        items = b",".join(values for _, values in _OFFERS.findall(readable)).split(b",")
        names = [name for item in items if (name := item.strip(_SPACE))]
        if not all(map(_is_token, names)):
            return HTTPAnswer(400, "Sec-WebSocket-Protocol is malformed")
        subprotocols = tuple(name.decode() for name in names)
        if RESUME_PREFIX in fields[b"sec-websocket-protocol"].decode():
            claim, subprotocols = claim_in(subprotocols), without_claims(subprotocols)
            head = head_without_claims(head)

    if draining:
        return rejection(503, "server is shutting down")
    return CheckedHead(head, key[1].decode(), subprotocols, claim)


def without_claims(names: Sequence[str]) -> tuple[str, ...]:
    """Offered subprotocols but those that are no names: what a client that comes back claims."""
    return tuple(name for name in names if not name.startswith(RESUME_PREFIX))


def head_without_claims(head: bytes) -> bytes:
    """A head whose offered subprotocols are names alone: nobody is told what a client claims. A line of nothing else is left
    out."""
    return _OFFERS.sub(_names_alone, head)


def _names_alone(line: Match[bytes]) -> bytes:
    names = [item.strip(_SPACE) for item in line[2].split(b",")]
    names = [name for name in names if name and not name.startswith(RESUME_PREFIX.encode())]
    return line[1] + b", ".join(names) if names else b""


def _joined(lines: list[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], bytes]:
    """The fields of lines of which some have one name, and the last name that may not stand twice and does; b"" for none."""
    fields: dict[bytes, bytes] = {}
    twice = b""
    for name, value in lines:
        if name in fields:
            fields[name] += b"," + value
            if name not in _LIST_FIELDS:
                twice = name
        else:
            fields[name] = value
    return fields, twice


def _has_item(values: bytes, item: bytes) -> bool:
    """Whether a comma-separated list contains a word."""
    return item in (value.strip(_SPACE) for value in values.split(b","))


def key_of(head: bytes) -> str:
    """The key of a head that `check_request` has let pass, wherever that was. Raises ValueError when there is none."""
    at = head.lower().find(_KEY_LINE)
    found = _key_at(head, at + len(_KEY_LINE)) if at >= 0 else None
    if found is None:
        raise ValueError("wspulse: the request has no Sec-WebSocket-Key")
    return found[1].decode()


def choose_subprotocol(ours: Sequence[str], offered: Sequence[str]) -> str | None:
    """The first of ours that the client offers; None when there is none, which refuses nobody."""
    if offered:
        for name in ours:
            if name in offered:
                return name
    return None


def switching_protocols(key: str, subprotocol: str | None, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """The 101, complete."""
    accept = b2a_base64(sha1(key.encode() + _GUID).digest())  # ends in the LF that its line ends in
    lines = _ACCEPTING + accept[:-1]
    if subprotocol is not None:
        lines += b"\r\nSec-WebSocket-Protocol: " + subprotocol.encode()
    for name, value in headers:
        lines += f"\r\n{name}: {value}".encode("latin-1")
    return lines + b"\r\n\r\n"
