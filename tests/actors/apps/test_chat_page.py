"""The pages of a built-in application: what a browser gets, and what it does not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from tests.support.wire.raw_peer import RawPeer
from tests.support.wire.request_heads import request_head as head
from wspulse.actors.accept.pages import StaticPage, client_pages
from wspulse.actors.apps.builtin import builtin
from wspulse.actors.apps.chat_page import chat_pages
from wspulse.actors.runtime.extension import Extension
from wspulse.actors.wire.answer import HTTPAnswer
from wspulse.actors.wire.handshake import CheckedHead, check_request

Pages = Mapping[str, StaticPage]

PATHS = (
    "/",
    "/_wspulse/chat.js",
    "/_wspulse/document.js",
    "/_wspulse/identity.js",
    "/_wspulse/people.js",
    "/_wspulse/placement.js",
    "/_wspulse/scissors.js",
    "/_wspulse/wspulse.js",
    "/_wspulse/theme.css",
    "/_wspulse/chat.css",
    "/_wspulse/icon.svg",
)


@pytest.fixture(scope="module")
def pages() -> Pages:
    return chat_pages("/ws")


def ask(pages: Pages, line: str, *fields: str, path: str = "/ws", draining: bool = False) -> tuple[HTTPAnswer, bytes]:
    """The answer to a request that is no upgrade, and its bytes."""
    data = "\r\n".join((line, "Host: 127.0.0.1", *fields)).encode()
    answer = check_request(data, path=path, draining=draining, pages=pages)
    assert isinstance(answer, HTTPAnswer)
    return answer, answer.encode()


@pytest.mark.parametrize("path", PATHS)
def test_page_is_answered_with_its_type_its_length_and_strict_fields(pages: Pages, path: str) -> None:
    answer, data = ask(pages, f"GET {path}?room=tea HTTP/1.1")
    top, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in top.decode().split("\r\n")[1:])
    assert answer.status == 200
    assert top.startswith(b"HTTP/1.1 200 OK\r\n")
    assert int(fields["Content-Length"]) == len(body) > 100
    kind = {"/": "html", "s": "javascript", "g": "svg"}[path[-1]] if not path.endswith("css") else "css"
    assert kind in fields["Content-Type"]
    assert fields["X-Content-Type-Options"] == "nosniff"
    assert fields["Cache-Control"] == "no-cache"
    policy = fields["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy


def test_every_shipped_file_is_served_and_every_reference_is_a_shipped_file(pages: Pages) -> None:
    shipped = {entry.name for entry in (files("wspulse.actors.apps") / "page").iterdir()}
    served = {path.removeprefix("/_wspulse/") for path in pages if path != "/"} | {"index.html"}
    assert served | {path.removeprefix("/") for path in client_pages()} == shipped

    class References(HTMLParser):
        found: set[str] = set()  # noqa: RUF012
        inline: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            given = dict(attrs)
            self.found |= {str(given[name]) for name in ("src", "href") if given.get(name)}
            self.inline += [name for name in given if name.startswith("on") or name == "style"]
            if tag == "style" or (tag == "script" and "src" not in given):
                self.inline.append(tag)

    parser = References()
    parser.feed(pages["/"].text)
    assert {f"/{reference}" for reference in parser.found} <= set(pages)
    assert parser.inline == []
    scripts = "".join(page.text for path, page in pages.items() if path.endswith(".js"))
    assert {f"/_wspulse/{name}" for name in re.findall(r'from "\./(\S+)"', scripts)} <= set(pages)
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "http://", "https://"):
        assert word not in scripts, "names and texts must never be read as HTML, and nothing comes from elsewhere"


@pytest.mark.parametrize("path", PATHS)
def test_head_and_a_known_etag_leave_the_body_out(pages: Pages, path: str) -> None:
    _, whole = ask(pages, f"GET {path} HTTP/1.1")
    top, _, body = whole.partition(b"\r\n\r\n")
    assert ask(pages, f"HEAD {path} HTTP/1.1")[1] == top + b"\r\n\r\n"
    etag = pages[path].etag
    for tags in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer, data = ask(pages, f"GET {path} HTTP/1.1", f"If-None-Match: {tags}")
        assert answer.status == 304
        assert data.endswith(b"\r\n\r\n")
        assert etag.encode() in data
    assert ask(pages, f"GET {path} HTTP/1.1", 'If-None-Match: "other"')[1] == whole
    assert body


def test_page_refuses_other_methods_and_other_versions_and_while_draining(pages: Pages) -> None:
    answer, _ = ask(pages, "POST / HTTP/1.1")
    assert (answer.status, ("Allow", "GET, HEAD") in answer.headers) == (405, True)
    assert ask(pages, "GET / HTTP/1.0")[0].status == 505
    assert ask(pages, "GET / HTTP/1.1", draining=True)[0].status == 503


@pytest.mark.parametrize(
    "target",
    ["/_wspulse/", "/_wspulse", "/_wspulse/../pages.py", "/_wspulse/%2e%2e/pages.py", "/index.html", "//", "/x"],
)
def test_nothing_else_is_served(pages: Pages, target: str) -> None:
    assert ask(pages, f"GET {target} HTTP/1.1")[0].status == 404
    assert ask({}, "GET / HTTP/1.1")[0].status == 404


def test_websocket_path_beats_the_page_and_is_told_to_it_as_text() -> None:
    hostile = '/"><script>alert(1)</script>'
    pages = chat_pages(hostile)
    assert hostile not in pages["/"].text
    assert 'data-websocket-path="/&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;"' in pages["/"].text
    assert isinstance(check_request(head("GET / HTTP/1.1"), path="/", draining=False, pages=pages), CheckedHead)
    assert ask(pages, "GET / HTTP/1.1", path="/")[0].status == 426


async def test_only_relay_serves_the_page() -> None:
    for name in ("relay", "echo"):
        server = builtin(name)
        assert server is not None
        async with server.serve() as running, await RawPeer.dial(running.port) as peer:
            peer.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = await peer.rest()
            assert answer.startswith(b"HTTP/1.1 200")
            assert (b"</html>" in answer) == (name == "relay")


async def test_page_reaches_a_client_that_reads_slowly_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that takes little at a time: the rest must not be thrown away after the time that a line of text gets."""
    monkeypatch.setattr("wspulse.actors.transport.refusal._LINGER_S", 0.05)
    server = builtin("relay")
    assert server is not None
    pages = chat_pages("/ws")
    big = pages["/"]
    big.text += " " * 8_000_000

    class BigPage(Extension):
        def pages(self, websocket_path: str) -> Pages:
            return {"/": big}

    server._extend(BigPage())
    async with server.serve() as running, await RawPeer.dial(running.port, receive_buffer_bytes=4096) as peer:
        peer.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        received = len(await peer.head())
        while data := await peer.reader.read(1 << 20):
            received += len(data)
        assert received > 8_000_000
