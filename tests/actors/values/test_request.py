"""The request as the application sees it."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from wspulse.actors.values.request import Request


def request(target: str | bytes = "/ws", *lines: str | bytes, method: str = "GET") -> Request:
    def raw(text: str | bytes) -> bytes:
        return text.encode() if isinstance(text, str) else text

    head = b"%s %s HTTP/1.1" % (method.encode(), raw(target))
    return Request.from_head(b"\r\n".join((head, *map(raw, lines))), ("192.0.2.7", 50123))


# Path and query.


def test_request_tells_method_path_and_peer() -> None:
    it = request("/ws?room=lobby", method="POST")
    assert (it.method, it.path, it.remote_address) == ("POST", "/ws", ("192.0.2.7", 50123))
    assert Request.from_head(b"GET / HTTP/1.1", None).remote_address is None


def test_path_is_percent_decoded_and_without_query() -> None:
    assert request("/a%20b/%C3%A4?x=/y").path == "/a b/ä"
    assert request("/%ff").path == "/\N{REPLACEMENT CHARACTER}"


def test_path_of_an_absolute_target_leaves_scheme_and_authority_out() -> None:
    assert request("http://chat.example:80/ws?a=1").path == "/ws"
    assert request("WSS://chat.example/ws").path == "/ws"
    assert request("http://chat.example").path == "/"
    assert request("http://chat.example?a=1").query["a"] == "1"


def test_query_gives_the_last_value_and_getall_every_one() -> None:
    query = request("/ws?room=a&id=7&room=b").query
    assert query["room"] == "b"
    assert query.getall("room") == ["a", "b"]
    assert dict(query) == {"room": "b", "id": "7"}
    assert len(query) == 2


def test_query_of_an_absent_name_is_none_and_an_empty_list() -> None:
    query = request("/ws").query
    assert query.get("room") is None
    assert query.get("room", "lobby") == "lobby"
    assert query.getall("room") == []
    assert "room" not in query
    assert len(query) == 0


def test_query_is_percent_decoded_as_utf8_and_plus_is_a_space() -> None:
    query = request("/ws?n%C3%A4me=J%C3%B6rg+M&plus=1%2B1&bad=%ff%zz%&raw=ä").query
    assert dict(query) == {"näme": "Jörg M", "plus": "1+1", "bad": "\N{REPLACEMENT CHARACTER}%zz%", "raw": "ä"}


def test_query_keeps_blank_values_and_all_behind_the_first_equals_sign() -> None:
    query = request("/ws?flag&empty=&token=a=b==&&=nameless").query
    assert dict(query) == {"flag": "", "empty": "", "token": "a=b==", "": "nameless"}


def test_query_begins_at_the_first_question_mark() -> None:
    assert request("/ws?next=/a?b=c").query["next"] == "/a?b=c"


# Header fields.


def test_headers_are_found_in_any_case_and_listed_in_lower_case() -> None:
    headers = request("/ws", "Host: example.com", "X-Token:abc").headers
    assert headers["host"] == headers["HOST"] == "example.com"
    assert headers.get("x-TOKEN") == "abc"
    assert "X-token" in headers
    assert "missing" not in headers
    assert list(headers) == ["host", "x-token"]
    assert len(headers) == 2


def test_header_values_lose_the_space_around_them_only() -> None:
    assert request("/ws", "A: \t one  two \t").headers["a"] == "one  two"
    assert request("/ws", "A:").headers["a"] == ""


def test_headers_of_one_name_are_joined_and_getall_has_each() -> None:
    headers = request("/ws", "A: 1", "B: x", "a: 2").headers
    assert headers["A"] == "1, 2"
    assert headers.getall("A") == ["1", "2"]
    assert headers.getall("missing") == []


def test_header_values_are_latin1_whatever_their_bytes() -> None:
    assert request("/ws", b"A: \xe4\xff").headers["a"] == "äÿ"


def test_lines_that_are_no_header_fields_are_left_out() -> None:
    assert dict(request("/ws", "nonsense", "A: 1").headers) == {"a": "1"}


# Cookies.


def test_cookies_come_by_name() -> None:
    cookies = request("/ws", "Cookie: session=abc; theme=dark;  eq=a=b").cookies
    assert cookies == {"session": "abc", "theme": "dark", "eq": "a=b"}


def test_cookies_of_several_lines_come_together() -> None:
    assert request("/ws", "Cookie: a=1", "Cookie: b=2").cookies == {"a": "1", "b": "2"}


def test_first_cookie_of_a_name_wins() -> None:
    assert request("/ws", "Cookie: a=specific; a=general").cookies == {"a": "specific"}


def test_cookies_lose_quotes_and_nonsense_is_left_out() -> None:
    assert request("/ws", 'Cookie: a="q"; nonsense; =x; b="; c=').cookies == {"a": "q", "b": '"', "c": ""}
    assert request("/ws").cookies == {}


# Robustness and size.


@given(st.binary(max_size=200) | st.text("GET /?&=%+:;\r\nab", max_size=200).map(str.encode))
def test_no_bytes_make_a_property_raise(head: bytes) -> None:
    it = Request.from_head(head, None)
    assert isinstance(it.method, str)
    assert isinstance(it.path, str)
    assert all(isinstance(value, str) for value in it.query.values())
    assert all(isinstance(value, str) for value in it.headers.values())
    assert all(isinstance(value, str) for value in it.cookies.values())
    assert repr(it)


def test_request_keeps_its_bytes_and_nothing_that_was_read_from_them() -> None:
    it = request("/ws?room=lobby", "Host: example.com", "Cookie: a=1")
    before = sys.getsizeof(it) + sum(sys.getsizeof(getattr(it, slot)) for slot in Request.__slots__)
    assert (it.query["room"], it.headers["host"], it.cookies["a"]) == ("lobby", "example.com", "1")
    after = sys.getsizeof(it) + sum(sys.getsizeof(getattr(it, slot)) for slot in Request.__slots__)
    assert before == after
    assert it.head.startswith(b"GET /ws?room=lobby HTTP/1.1\r\nHost:")


def test_requests_that_are_asked_in_turns_never_answer_for_each_other() -> None:
    ada, bob = (
        Request.from_head(b"GET /ws?id=%s HTTP/1.1\r\nHost: x\r\nX-Name: %s" % (name, name), None)
        for name in (b"ada", b"bob")
    )
    for _ in range(2):
        assert (ada.query["id"], bob.query["id"]) == ("ada", "bob")
        assert (ada.headers["x-name"], bob.headers["x-name"]) == ("ada", "bob")
    assert ada.query is ada.query
