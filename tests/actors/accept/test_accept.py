"""`Accept` and the headers that an application may add: what cannot be sent is refused where it is made."""

from __future__ import annotations

from typing import Any

import pytest

from wspulse import Accept, ConnectRejected


def test_headers_are_pairs_in_their_order_from_a_map_or_from_pairs() -> None:
    assert Accept("den", headers={"Set-Cookie": "a=1", "X-Role": "guest"}).headers == (
        ("Set-Cookie", "a=1"),
        ("X-Role", "guest"),
    )
    twice = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    assert Accept("den", headers=twice).headers == tuple(twice)
    assert ConnectRejected("no", 401, {"WWW-Authenticate": "Bearer"}).headers == (("WWW-Authenticate", "Bearer"),)


@pytest.mark.parametrize(
    "headers",
    [
        {"Set-Cookie": "a=1\r\nX-Forged: 1"},
        {"Set-Cookie": "a=1\n"},
        {"Set-Cookie": "a\x00"},
        {"Set-Cookie": "emoji \U0001f600"},
        {"Set Cookie": "a=1"},
        {"": "a"},
        {"X-Forged\r\n": "a"},
        {"Upgrade": "h2c"},
        {"sec-websocket-accept": "mine"},
        {"Content-Length": "5"},
        {"transfer-encoding": "chunked"},
    ],
    ids=repr,
)
def test_header_that_cannot_be_sent_is_refused(headers: dict[str, str]) -> None:
    for make in (lambda: Accept("den", headers=headers), lambda: ConnectRejected("no", headers=headers)):
        with pytest.raises(ValueError, match=r"wspulse: (Accept|ConnectRejected): "):
            make()


@pytest.mark.parametrize("headers", [{"X-Count": 5}, [("X-Count",)], ["X-Count"], [b"ab"]], ids=repr)
def test_header_that_is_no_pair_of_text_is_refused(headers: Any) -> None:
    with pytest.raises(TypeError, match=r"wspulse: Accept: a header must be a pair of str, not "):
        Accept("den", headers=headers)


@pytest.mark.parametrize("headers", [None, 5], ids=repr)
def test_headers_that_are_no_headers_are_refused(headers: Any) -> None:
    with pytest.raises(TypeError, match=r"wspulse: ConnectRejected: headers must be a mapping or pairs of str, not "):
        ConnectRejected("no", headers=headers)


@pytest.mark.parametrize("subprotocol", ["", "two words", "a,b", "a\r\n", 5], ids=repr)
def test_subprotocol_that_is_no_token_is_refused(subprotocol: Any) -> None:
    with pytest.raises(ValueError, match=r"wspulse: Accept: subprotocol must be a token"):
        Accept("den", subprotocol=subprotocol)


def test_resume_that_is_no_bool_is_refused() -> None:
    resume: Any = "no"
    with pytest.raises(TypeError, match="wspulse: Accept: resume must be True or False, not 'no'"):
        Accept("den", resume=resume)


def test_rooms_are_taken_from_anything_that_gives_room_ids() -> None:
    assert Accept("den").rooms == ()
    assert Accept("den", rooms=(f"user:{name}" for name in "ab")).rooms == ("user:a", "user:b")


@pytest.mark.parametrize(
    ("rooms", "error"),
    [("den", TypeError), (None, TypeError), ([7], TypeError), (["x" * 257], ValueError), (["\ud83d"], ValueError)],
    ids=repr,
)
def test_rooms_that_are_none_are_refused(rooms: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"wspulse: .*room"):
        Accept("den", rooms=rooms)
