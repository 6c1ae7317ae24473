"""`allow_origins` and `--allow-origin`, and the warning to those who need them."""

from __future__ import annotations

from typing import Any

import pytest

from wspulse import Server, allow_origins
from wspulse.actors.accept.origins import OriginCheck, parse_origin, reads_cookies
from wspulse.actors.values.request import Request


def request(origin: str | None) -> Request:
    line = f"\r\nOrigin: {origin}" if origin is not None else ""
    return Request.from_head(f"GET /ws HTTP/1.1\r\nHost: example.com{line}".encode(), ("127.0.0.1", 1))


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("https://example.com", "https://example.com"),
        ("HTTPS://Example.COM", "https://example.com"),
        ("https://example.com:443", "https://example.com"),
        ("http://example.com:443", "http://example.com:443"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("null", "null"),
    ],
)
def test_origins_that_are_the_same_have_one_form(text: str, form: str) -> None:
    assert parse_origin(text) == form


@pytest.mark.parametrize(
    "text",
    ["", "*", "example.com", "https://", "https://example.com/", "https://example.com/path", "https://a:b", "NULL",
     "https://user@example.com", "https://example.com?x", "https://example.com:99999", "//example.com"],
)  # fmt: skip
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an origin; allowed: "):
        parse_origin(text)


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        ("https://example.com", True),
        ("https://EXAMPLE.com", True),
        ("https://example.com:443", True),
        ("null", True),
        (None, True),
        ("http://example.com", False),
        ("https://example.com.evil.org", False),
        ("https://evil.org", False),
        ("https://example.com/", False),
        ("rubbish", False),
        ("", False),
    ],
)
def test_only_listed_origins_and_clients_without_one_are_let_in(origin: str | None, is_allowed: bool) -> None:
    check = OriginCheck(["https://example.com", "null"])
    assert check(request(origin)) is is_allowed


def test_null_must_be_listed_to_be_let_in() -> None:
    assert not OriginCheck(["https://example.com"])(request("null"))


def user_of(request: Request) -> str:
    return request.cookies.get("session", "")


class Door:
    def __call__(self, request: Request) -> tuple[str, str]:
        return "lobby", request.headers.get("Cookie", "")

    def by_token(self, request: Request) -> tuple[str, str]:
        return "lobby", request.query["token"]


def by_cookie(request: Request) -> tuple[str, str]:
    return "lobby", request.cookies["session"]


def by_helper(request: Request) -> tuple[str, str]:
    return "lobby", user_of(request)


async def by_session(request: Request) -> tuple[str, str]:
    assert request.scope is not None
    return "lobby", request.scope["session"]["user"]


def by_token(request: Request) -> tuple[str, str]:
    return "lobby", request.query["user"]


@pytest.mark.parametrize("connect", [by_cookie, by_helper, by_session, Door()])
async def test_start_warns_when_connect_reads_cookies_and_every_origin_is_allowed(
    connect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert reads_cookies(connect)
    async with Server(connect, check_origin=allow_origins(["https://example.com"])).serve():
        assert not caplog.records
    async with Server(connect).serve():
        assert "every origin is allowed" in caplog.text


@pytest.mark.parametrize("connect", [by_token, Door().by_token, lambda request: ("lobby", "")])
async def test_start_warns_of_nothing_when_connect_reads_no_cookies(
    connect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with Server(connect).serve():
        assert not caplog.records


def test_allow_origins_refuses_what_is_no_origin() -> None:
    with pytest.raises(ValueError, match=r"^wspulse: allow_origins: 'example\.com' is not an origin"):
        allow_origins(["example.com"])
    with pytest.raises(ValueError, match=r"^wspulse: allow_origins: 5 is not an origin"):
        allow_origins([5])  # type: ignore[list-item]
    for origins in ("https://example.com", b"https://example.com", 5):
        with pytest.raises(ValueError, match="is not a list; allowed: a list of origins"):
            allow_origins(origins)  # type: ignore[arg-type]
