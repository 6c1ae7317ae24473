"""`/wspulse.js` and its types: served by every server, to everybody, unless it is switched off."""

from __future__ import annotations

import gzip
import re
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any

import pytest

from tests.support.wire.raw_peer import RawPeer
from wspulse import Request, Server
from wspulse.actors.accept.pages import client_pages
from wspulse.actors.apps.builtin import builtin

MODULE = (files("wspulse.actors") / "apps" / "page" / "wspulse.js").read_text("utf-8")
TYPES = (files("wspulse.actors") / "apps" / "page" / "wspulse.d.ts").read_text("utf-8")


def identify(request: Request) -> tuple[str, str]:
    return "lobby", ""


async def ask(port: int, target: str, *fields: str, method: str = "GET") -> tuple[str, dict[str, str], str]:
    """The status line, the fields and the body of an answer."""
    async with await RawPeer.dial(port) as peer:
        peer.writer.write("\r\n".join((f"{method} {target} HTTP/1.1", "Host: x", *fields, "", "")).encode())
        head, _, body = (await peer.rest()).decode().partition("\r\n\r\n")
    line, *lines = head.split("\r\n")
    return line, dict(field.split(": ", 1) for field in lines), body


@pytest.mark.parametrize(
    ("target", "text", "kind"),
    [("/wspulse.js?v=1", MODULE, "text/javascript"), ("/wspulse.d.ts", TYPES, "application/typescript")],
)
async def test_every_server_has_it_for_pages_of_every_origin(target: str, text: str, kind: str) -> None:
    async with Server(identify).serve() as running:
        line, fields, body = await ask(running.port, target, "Origin: https://elsewhere.example")
        assert line == "HTTP/1.1 200 OK"
        assert body == text
        assert fields["Content-Type"] == f"{kind}; charset=utf-8"
        assert fields["Access-Control-Allow-Origin"] == "*"
        assert fields["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert fields["X-Content-Type-Options"] == "nosniff"
        assert fields["Cache-Control"] == "no-cache"
        line, again, body = await ask(running.port, target, f"If-None-Match: {fields['ETag']}")
        assert (line, body) == ("HTTP/1.1 304 Not Modified", "")
        assert again["Access-Control-Allow-Origin"] == "*"
        line, fields, body = await ask(running.port, target, method="HEAD")
        assert (line, body, int(fields["Content-Length"])) == ("HTTP/1.1 200 OK", "", len(text.encode()))
        assert (await ask(running.port, target, method="POST"))[0].startswith("HTTP/1.1 405 ")


async def test_server_without_it_answers_404() -> None:
    async with Server(identify, client=False).serve() as running:
        assert (await ask(running.port, "/wspulse.js"))[0] == "HTTP/1.1 404 Not Found"
        assert (await ask(running.port, "/wspulse.d.ts"))[0] == "HTTP/1.1 404 Not Found"


async def test_chat_page_has_its_own_copy_whether_or_not_it_is_served() -> None:
    relay = builtin("relay")
    assert relay is not None
    relay.override({"client": False})
    async with relay.serve() as running:
        assert (await ask(running.port, "/wspulse.js"))[0] == "HTTP/1.1 404 Not Found"
        assert (await ask(running.port, "/_wspulse/wspulse.js"))[2] == MODULE


async def test_websocket_path_beats_it() -> None:
    async with Server(identify).serve(path="/wspulse.js") as running:
        assert (await ask(running.port, "/wspulse.js"))[0].startswith("HTTP/1.1 426 ")


async def mounted(scope: dict[str, Any], server: Server) -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append(event)

    async def receive() -> dict[str, Any]:
        return {}

    application: Callable[..., Awaitable[None]] = server.asgi()
    await application({"type": "http", "method": "GET", "headers": [], "query_string": b"", **scope}, receive, send)
    start, body = sent
    return start["status"], dict(start["headers"]), body["body"]


async def test_mounted_server_has_it_below_its_mount() -> None:
    server = Server(identify)
    status, fields, body = await mounted({"path": "/live/wspulse.js", "root_path": "/live"}, server)
    assert (status, body.decode()) == (200, MODULE)
    assert fields[b"access-control-allow-origin"] == b"*"
    assert fields[b"content-type"] == b"text/javascript; charset=utf-8"
    assert b"connection" not in fields, "that is the ASGI server's to say"
    known = [(b"if-none-match", fields[b"etag"])]
    status, fields, body = await mounted({"path": "/wspulse.js", "headers": known}, server)
    assert (status, body) == (304, b"")
    assert b"content-length" not in fields, "uvicorn would miss the body"
    status, fields, body = await mounted({"path": "/wspulse.js", "method": "HEAD"}, server)
    assert (status, int(fields[b"content-length"]), body) == (200, len(MODULE.encode()), b"")
    for scope in ({"path": "/live/"}, {"path": "/wspulse.js", "method": "POST"}, {"path": "/wspulse.js/x"}):
        assert (await mounted(scope, server))[0] == 426
    assert (await mounted({"path": "/wspulse.js"}, Server(identify, client=False)))[0] == 426


async def hello(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """An application that is carried."""
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


async def test_browser_that_has_it_keeps_its_connection_to_the_application(
    implementation: str, caplog: pytest.LogCaptureFixture
) -> None:
    known = (
        f"GET /wspulse.js HTTP/1.1\r\nHost: x\r\nIf-None-Match: {client_pages()['/wspulse.js'].etag}\r\n\r\n".encode()
    )
    async with Server(identify, http_app=hello).serve() as running, await RawPeer.dial(running.port) as peer:
        for request, body in ((b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 5), (known, 0), (known, 0)):
            peer.writer.write(request)
            head = await peer.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200" if body else b"HTTP/1.1 304")
            assert len(await peer.reader.readexactly(body)) == body
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_module_is_small_and_readable_and_imports_nothing() -> None:
    assert len(gzip.compress(MODULE.encode(), 9)) <= 5 * 1024
    assert max(map(len, MODULE.splitlines())) <= 160
    assert "import" not in MODULE
    assert not re.search(r"\b(eval|Function|console|innerHTML)\b", MODULE)
    assert set(client_pages()) == {"/wspulse.js", "/wspulse.d.ts"}


def test_types_name_what_the_module_gives() -> None:
    given = set(re.findall(r"^export (?:function|class) (\w+)", MODULE, re.MULTILINE))
    typed = set(re.findall(r"^export (?:function|class) (\w+)", TYPES, re.MULTILINE))
    assert given == typed == {"LineError", "connect"}
    line = MODULE[MODULE.index("  return {\n    get state()") :]
    members = set(re.findall(r"^    (?:get )?(\w+)\(", line, re.MULTILINE))
    interface = TYPES[TYPES.index("export interface Line ") :]
    assert members == set(re.findall(r"^  (?:readonly )?(\w+)[:(]", interface, re.MULTILINE))
    options = MODULE[MODULE.index("const { protocols") + len("const { ") :].partition(" } =")[0]
    optional = TYPES[TYPES.index("export interface Options") : TYPES.index("export interface Line ")]
    names = {option.split()[0].rstrip(":") for option in options.split(", ")}
    assert names == set(re.findall(r"^  (\w+)\?:", optional, re.MULTILINE))
