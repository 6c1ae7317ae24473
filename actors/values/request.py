"""The request that opened a connection, as the application sees it.

A `Request` keeps the bytes of the request's head and reads them when it is asked, since most connections outlive the
only question about them by hours: an idle one pays for its bytes and nothing else. The head comes from
`wspulse.actors.wire.handshake`, which has checked it; nothing here depends on that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from re import compile as _pattern
from typing import Any, ClassVar, Final, Literal, Self
from urllib.parse import quote, unquote, unquote_plus

__all__ = ["INSECURE", "SECURE", "Address", "Headers", "Query", "Request", "Scheme", "path_of_target"]

Address = tuple[str, int]
"""IP address and port; the port is 0 where only the address is known."""

Scheme = Literal["ws", "wss"]

INSECURE: Final = "ws"
SECURE: Final = "wss"

_ORIGIN = _pattern(r"(?i:[a-z][a-z0-9+.\-]*)://[^/?#]*")
"""What an absolute-form target (RFC 9112 §3.2.2) has in front of its path."""


class Query(Mapping[str, str]):
    """The parameters of a query, percent-decoded as UTF-8 (bytes that are none become U+FFFD); + is a space.

    Of a name that stands more than once the last value wins; `getall` has them all.
    """

    __slots__ = ("_pairs", "_values")

    def __init__(self, text: str) -> None:
        cut = [item.partition("=") for item in text.split("&") if item]
        if "%" in text or "+" in text:
            self._pairs = [(_decoded(name), _decoded(value)) for name, _, value in cut]
        else:
            self._pairs = [(name, value) for name, _, value in cut]
        self._values = dict(self._pairs)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Query({self._pairs!r})"

    def getall(self, name: str) -> list[str]:
        """Every value of `name` in the order of the query; [] when there is none."""
        return [value for other, value in self._pairs if other == name]


class Headers(Mapping[str, str]):
    """The header fields of a request. Names are found in any case and listed in lower case; values are Latin-1 text.

    A field that stands more than once is joined with ", " (RFC 9110 §5.3), cookies with "; "; `getall` has each.
    """

    __slots__ = ("_fields",)

    def __init__(self, lines: list[str]) -> None:
        """`lines` without their line ends. One without a colon is left out."""
        self._fields: dict[str, list[str]] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if colon:
                self._fields.setdefault(name.lower(), []).append(value.strip(" \t"))

    def __getitem__(self, name: str) -> str:
        values = self._fields[name.lower()]
        return values[0] if len(values) == 1 else ("; " if name.lower() == "cookie" else ", ").join(values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Headers({self._fields!r})"

    def getall(self, name: str) -> list[str]:
        """Every value of `name` in the order of the request; [] when there is none."""
        return list(self._fields.get(name.lower(), ()))


class Request:
    """The HTTP request of an upgrade. Read-only.

    A property parses the request's bytes when it is read (1 … 5 µs), so keep what you need often; query and headers of the
    request read last are cached. No property raises, whatever the client sent: bytes that make no sense are replaced or left
    out.
    """

    _last_query: ClassVar[tuple[bytes, Query]] = (b"", Query(""))
    _last_headers: ClassVar[tuple[bytes, Headers]] = (b"", Headers([]))
    """What a `connect` handler asks for several times in a row, kept once for all requests and not with each."""

    __slots__ = ("_head", "_remote_address", "_scheme", "_scope")

    def __init__(
        self,
        head: bytes,
        remote_address: tuple[str, int] | None,
        scheme: Scheme = INSECURE,
        *,
        scope: MutableMapping[str, Any] | None = None,
    ) -> None:
        self._head = head
        self._remote_address = remote_address
        self._scheme: Scheme = scheme
        self._scope = scope

    @classmethod
    def from_head(cls, head: bytes, remote_address: tuple[str, int] | None, scheme: Scheme = INSECURE) -> Self:
        """`head`: request line and header lines as they came, without the empty line that ends them."""
        return cls(head, remote_address, scheme)

    @classmethod
    def from_scope(cls, scope: MutableMapping[str, Any]) -> Self:
        """The request behind an ASGI scope of the type "websocket" or "http"."""
        target = scope.get("raw_path") or quote(scope["path"]).encode()
        if query := scope.get("query_string"):
            target = target.partition(b"?")[0] + b"?" + query
        method = scope.get("method", "GET").encode("latin-1")
        lines = [method + b" " + target + b" HTTP/1.1", *(name + b": " + value for name, value in scope["headers"])]
        client = scope.get("client")
        address = (str(client[0]), int(client[1] or 0)) if client else None
        scheme: Scheme = SECURE if scope.get("scheme") in ("https", SECURE) else INSECURE
        return cls(b"\r\n".join(lines), address, scheme, scope=scope)

    @property
    def head(self) -> bytes:
        """Request line and header lines as they came, without the empty line that ends them."""
        return self._head

    @property
    def method(self) -> str:
        """ "GET" for every upgrade."""
        return self._head.partition(b" ")[0].decode("latin-1")

    @property
    def path(self) -> str:
        """The path, percent-decoded, without the query."""
        return path_of_target(self._target())[0]

    @property
    def query(self) -> Query:
        """The parameters after the path's question mark. The last value of a name wins; `.getall(name)` returns all."""
        head, query = Request._last_query
        if head is not self._head:
            query = Query(path_of_target(self._target())[1])
            Request._last_query = self._head, query
        return query

    @property
    def headers(self) -> Headers:
        """The header fields, by name in any case; `.getall(name)` returns all fields of that name."""
        head, headers = Request._last_headers
        if head is not self._head:
            headers = Headers(self._head.decode("latin-1").split("\r\n")[1:])
            Request._last_headers = self._head, headers
        return headers

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies by name. If two have the same name the first wins: its path is the longer one (RFC 6265 §5.4)."""
        cookies: dict[str, str] = {}
        for item in self.headers.get("cookie", "").split(";"):
            name, equals, value = item.partition("=")
            if equals and (name := name.strip()):
                value = value.strip()
                if len(value) > 1 and value[0] == value[-1] == '"':
                    value = value[1:-1]
                cookies.setdefault(name, value)
        return cookies

    @property
    def remote_address(self) -> tuple[str, int] | None:
        """IP address and port of the client; None if it has none, as over a Unix socket.

        Behind a proxy they are the proxy's, unless `--proxy-headers` or `--proxy-protocol` makes the server believe what it
        says of its client; the port is 0 if the proxy does not say it.
        """
        return self._remote_address

    @property
    def scheme(self) -> Scheme:
        """ "wss" if the client speaks TLS, with this server or with a proxy that is trusted; else "ws"."""
        return self._scheme

    @property
    def scope(self) -> MutableMapping[str, Any] | None:
        """The ASGI scope of a server that is mounted in another application, with what its middleware put there (a
        session, a user, path parameters); None where wspulse itself took the request."""
        return self._scope

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path} from {self._remote_address}>"

    def _target(self) -> str:
        line = self._head.partition(b"\r\n")[0].split(b" ")
        return line[1].decode("utf-8", "replace") if len(line) > 1 else ""


def path_of_target(target: str) -> tuple[str, str]:
    """Path (percent-decoded) and query (as it is) of a request target in origin or absolute form."""
    if not target.startswith("/") and (origin := _ORIGIN.match(target)):
        target = target[origin.end() :]
        if not target.startswith("/"):
            target = f"/{target}"
    path, _, query = target.partition("?")
    return (unquote(path, errors="replace") if "%" in path else path), query


def _decoded(text: str) -> str:
    return unquote_plus(text, errors="replace")
