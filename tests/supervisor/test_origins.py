"""`--allow-origin`."""

from __future__ import annotations

import pytest

from wspulse.actors.request import Request
from wspulse.supervisor.origins import OriginCheck, parse_origin


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
    with pytest.raises(ValueError, match="is no origin; allowed is"):
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
