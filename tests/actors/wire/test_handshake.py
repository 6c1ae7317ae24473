"""The checks and answers of the opening handshake, in the order of contract §2."""

from __future__ import annotations

import re
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.utils import accept_key

from tests.support.wire.request_heads import GOOD_FIELDS, KEY
from tests.support.wire.request_heads import request_head as head
from wspulse.actors.values.health import Health
from wspulse.actors.values.request import Request
from wspulse.actors.values.text.exact import Claim
from wspulse.actors.wire.answer import HTTPAnswer, rejection
from wspulse.actors.wire.handshake import CheckedHead, check_request, choose_subprotocol, key_of, switching_protocols
from wspulse.actors.wire.head import HeadGatherer, NoHTTPError


def upgrade(data: bytes, path: str = "/ws") -> CheckedHead:
    result = check_request(data, path=path, draining=False)
    assert isinstance(result, CheckedHead), result
    return result


def refusal(data: bytes, *, path: str = "/ws", draining: bool = False) -> HTTPAnswer:
    result = check_request(data, path=path, draining=draining)
    assert isinstance(result, HTTPAnswer)
    return result


def status(data: bytes, *, path: str = "/ws", draining: bool = False) -> int:
    return refusal(data, path=path, draining=draining).status


# What passes.


def test_good_request_passes_with_its_key_and_head() -> None:
    result = upgrade(head())
    assert (result.key, result.offered_subprotocols, result.head) == (KEY, (), head())
    assert key_of(result.head) == KEY


@pytest.mark.parametrize(
    "data",
    [
        head(Upgrade="WebSocket"),
        head(Upgrade="h2c, websocket"),
        head(Connection="keep-alive, Upgrade"),
        head(Connection="keep-alive,upgrade"),
        head("GET /ws HTTP/1.1", "Connection: keep-alive"),
        head("GET /ws?room=1&x=%20 HTTP/1.1"),
        head("GET http://127.0.0.1:8000/ws?room=1 HTTP/1.1"),
        head("GET /w%73 HTTP/1.1"),
        head("GET /ws HTTP/1.1", "Sec-WebSocket-Extensions: permessage-deflate; nonsense=("),
        head("GET /ws HTTP/1.1", b"X-Latin: \xe4\xff", "X-Tab: a\tb", "X-Empty:"),
        head("GET /ws HTTP/1.1", "Content-Length: 0"),
        head().replace(b": ", b":"),
        head().replace(b"Sec-WebSocket-Key: " + KEY.encode(), b"SEC-WEBSOCKET-KEY:\t " + KEY.encode() + b" \t"),
        head(Host="[::1]:8000"),
        head(Host=""),
    ],
)
def test_request_passes_in_any_form_that_the_rfcs_allow(data: bytes) -> None:
    assert upgrade(data).key == KEY
    assert key_of(data) == KEY


def test_path_with_other_than_ascii_is_found() -> None:
    assert upgrade(head("GET /gr%C3%BC%C3%9Fe HTTP/1.1"), "/grüße").key == KEY
    assert upgrade(head("GET /grüße HTTP/1.1"), "/grüße").key == KEY


def test_websocket_may_live_at_the_health_path() -> None:
    assert upgrade(head("GET /healthz HTTP/1.1"), "/healthz").key == KEY


# The table of contract §2, in its order.


@pytest.mark.parametrize(
    "line",
    [
        "", "GET", "GET /ws", "GET  /ws HTTP/1.1", "GET /ws  HTTP/1.1", "GET /ws HTTP/1.1 ", " GET /ws HTTP/1.1",
        "GET /w s HTTP/1.1", "GET /ws HTTP/11", "GET /ws http/1.1", "GET /ws FTP/1.1", "G(T /ws HTTP/1.1",
        "GET /w\x00s HTTP/1.1", "GET /w\ns HTTP/1.1", "GET /ws HTTP/1.1\r", "GET /ws\tHTTP/1.1", "\x16\x03\x01",
    ],
)  # fmt: skip
def test_request_line_that_cannot_be_read_is_400(line: str) -> None:
    assert status(head(line)) == 400


@pytest.mark.parametrize("version", ["1.0", "0.9", "1.2", "2.0"])
def test_other_version_is_505_before_all_but_the_path(version: str) -> None:
    assert status(f"POST /ws HTTP/{version}\r\nbad line".encode(), draining=True) == 505


@pytest.mark.parametrize("version", ["1.0", "1.1", "2.0"])
def test_unknown_path_is_404_before_all_else(version: str) -> None:
    assert status(f"POST /nowhere HTTP/{version}\r\nbad line".encode(), draining=True) == 404


def test_path_without_what_is_asked_for_is_404() -> None:
    for target in ("/", "/ws/", "/WS", "//ws", "/ws#x", "*", "ws", "/wss", "http://h/x", "127.0.0.1:8000", "/%77s/"):
        assert status(head(f"GET {target} HTTP/1.1")) == 404


def test_other_method_is_405_before_upgrade_fields() -> None:
    answer = refusal(b"POST /ws HTTP/1.1\r\nbad line", draining=True)
    assert answer.status == 405
    assert ("Allow", "GET") in answer.headers


@pytest.mark.parametrize(
    "data",
    [
        b"GET /ws HTTP/1.1",
        head(without="Upgrade"),
        head(without="Connection"),
        head(without="Sec-WebSocket-Version"),
        head(Upgrade="websockets"),
        head(Connection="keep-alive"),
        head(Sec_WebSocket_Version="8"),
        head(Sec_WebSocket_Version=""),
        head("GET /ws HTTP/1.1", "bad line", without="Upgrade"),
        head("GET /ws HTTP/1.1", "Upgrade : websocket", without="Upgrade"),
        head("GET /ws HTTP/1.1", "X: a\nUpgrade: websocket", without="Upgrade"),
    ],
)
def test_no_upgrade_is_426_before_malformed_lines_and_draining(data: bytes) -> None:
    answer = refusal(data, draining=True)
    assert answer.status == 426
    assert ("Sec-WebSocket-Version", "13") in answer.headers


@pytest.mark.parametrize(
    "line",
    [
        b"", b"bad line", b": no name", b"Bad name: x", b"Name : x", b" folded", b"\tfolded", b"Na\x00me: x", b"Na\xe4me: x",
        b"Name: a\x00b", b"Name: a\rb", b"Name: a\nb", b"Name: a\x7fb", b"Name: \x1b[0m", b"Name: x\r", b"Name\r: x",
    ],
)  # fmt: skip
def test_malformed_line_is_400(line: bytes) -> None:
    assert status(head("GET /ws HTTP/1.1", line, "Last: 1"), draining=True) == 400
    assert status(head("GET /ws HTTP/1.1", line), draining=True) == 400


@pytest.mark.parametrize(
    "key",
    [
        "", "short", KEY[:-1], KEY + "=", KEY[:-3] + "===", "!" + KEY[1:], KEY[:5] + " " + KEY[6:], KEY + "," + KEY,
        b64encode(bytes(15)).decode(), b64encode(bytes(17)).decode(),
    ],
)  # fmt: skip
def test_key_that_is_not_16_bytes_in_base64_is_400(key: str) -> None:
    assert status(head(Sec_WebSocket_Key=key), draining=True) == 400


def test_missing_key_is_400() -> None:
    assert status(head(without="Sec-WebSocket-Key")) == 400


@pytest.mark.parametrize("name", ["Host", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Origin", "Content-Length"])
def test_single_valued_field_that_stands_twice_is_400(name: str) -> None:
    value = GOOD_FIELDS.get(name, "0")
    answer = refusal(head("GET /ws HTTP/1.1", f"{name}: {value}", f"{name.lower()}: {value}"))
    assert answer.status == 400
    assert name.lower() in answer.text


def test_two_versions_in_one_line_are_400() -> None:
    assert status(head(Sec_WebSocket_Version="13, 8")) == 400


def test_missing_or_malformed_host_is_400() -> None:
    assert status(head(without="Host")) == 400
    assert status(head(Host="a b")) == 400
    assert status(head(Host="a/b")) == 400


def test_request_with_a_body_is_400() -> None:
    assert status(head("GET /ws HTTP/1.1", "Content-Length: 5")) == 400
    assert status(head("GET /ws HTTP/1.1", "Transfer-Encoding: chunked")) == 400


def test_malformed_subprotocols_are_400() -> None:
    assert status(head("GET /ws HTTP/1.1", "Sec-WebSocket-Protocol: a b")) == 400
    assert status(head("GET /ws HTTP/1.1", "Sec-WebSocket-Protocol: a;b")) == 400


def test_good_request_to_a_draining_server_is_503_and_says_when_to_come_back() -> None:
    answer = refusal(head(), draining=True)
    assert answer.status == 503
    assert ("Retry-After", "1") in answer.headers


# Health.


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_health_is_200_ok_and_503_while_draining(method: str, version: str) -> None:
    for target in ("/healthz", "/healthz?x", "http://host/healthz"):
        answer = refusal(f"{method} {target} HTTP/{version}".encode())
        assert (answer.status, answer.text, answer.is_refusal) == (200, "ok", False)
    answer = refusal(f"{method} /healthz HTTP/{version}".encode(), draining=True)
    assert (answer.status, answer.text, answer.is_refusal) == (503, "draining", False)
    assert ("Retry-After", "1") in answer.headers


def test_health_of_another_method_is_405_and_in_another_version_505() -> None:
    answer = refusal(b"POST /healthz HTTP/1.0")
    assert answer.status == 405
    assert ("Allow", "GET, HEAD, OPTIONS") in answer.headers
    assert answer.text == "only GET, HEAD and OPTIONS are allowed"
    assert status(b"GET /healthz HTTP/2.0") == 505


def test_health_is_503_and_says_what_is_amiss_while_upgrades_and_pages_are_served_on() -> None:
    health = Health()
    health.fail("the bus stands still")
    health.fail("a folder\nis gone")

    def ask(data: bytes) -> CheckedHead | HTTPAnswer:
        return check_request(data, path="/ws", draining=False, health=health)

    answer = ask(b"GET /healthz HTTP/1.1")
    assert isinstance(answer, HTTPAnswer)
    assert (answer.status, answer.text) == (503, "the bus stands still; a folder is gone")
    assert isinstance(ask(head()), CheckedHead)
    for reason in health.reasons:
        health.mend(reason)
    answer = ask(b"GET /healthz HTTP/1.1")
    assert isinstance(answer, HTTPAnswer)
    assert (answer.status, answer.text) == (200, "ok")


def test_answer_to_head_tells_the_size_and_has_no_body() -> None:
    for data in (b"HEAD /healthz HTTP/1.0", b"HEAD /healthz HTTP/1.1", b"HEAD /ws HTTP/1.1", b"HEAD /nowhere HTTP/1.1"):
        answer = refusal(data)
        response = answer.encode()
        assert response.endswith(b"\r\n\r\n")
        assert f"Content-Length: {len(answer.text)}\r\n".encode() in response
    assert status(b"HEAD /healthz HTTP/1.1") == 200


# Subprotocols.


def test_offered_subprotocols_come_from_all_lines() -> None:
    data = head("GET /ws HTTP/1.1", "Sec-WebSocket-Protocol: chat, v2.chat", "Sec-WebSocket-Protocol:x ,, y")
    assert upgrade(data).offered_subprotocols == ("chat", "v2.chat", "x", "y")


def test_first_of_ours_that_is_offered_is_chosen() -> None:
    assert choose_subprotocol(("a", "b"), ("b", "a")) == "a"
    assert choose_subprotocol(("a", "b"), ("c", "b")) == "b"


def test_no_subprotocol_is_chosen_when_none_fits() -> None:
    assert choose_subprotocol(("a",), ("b",)) is None
    assert choose_subprotocol((), ("b",)) is None
    assert choose_subprotocol(("a",), ()) is None


# Answers.


def test_101_has_the_accept_key_of_the_rfc() -> None:
    response = switching_protocols(KEY, None)
    assert response.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" in response
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in response
    assert response.endswith(b"\r\n\r\n")
    assert b"Protocol:" not in response


@given(st.binary(min_size=16, max_size=16))
def test_101_has_the_accept_key_that_the_library_computes(nonce: bytes) -> None:
    key = b64encode(nonce).decode()
    assert f"Sec-WebSocket-Accept: {accept_key(key)}\r\n".encode() in switching_protocols(key, None)


def test_101_names_the_subprotocol() -> None:
    assert switching_protocols(KEY, "v2.chat").endswith(b"=\r\nSec-WebSocket-Protocol: v2.chat\r\n\r\n")


def test_key_of_a_head_without_one_raises() -> None:
    with pytest.raises(ValueError, match="Sec-WebSocket-Key"):
        key_of(b"GET /ws HTTP/1.1")


def test_answer_is_a_whole_response_that_ends_the_connection() -> None:
    assert rejection(401, "bad token").encode() == (
        b"HTTP/1.1 401 Unauthorized\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 9\r\n"
        b"Connection: close\r\n\r\nbad token"
    )


def test_answer_counts_bytes_not_characters() -> None:
    assert b"Content-Length: 6\r\n" in rejection(403, "größ").encode()


def test_503_says_when_to_come_back_and_other_statuses_do_not() -> None:
    assert b"\r\nRetry-After: 1\r\n" in rejection(503, "busy").encode()
    for code in (401, 403, 409, 500):
        assert b"Retry-After" not in rejection(code, "no").encode()


def test_status_without_a_name_is_sent() -> None:
    assert rejection(499, "no").encode().startswith(b"HTTP/1.1 499 ")


def test_rejection_text_becomes_one_harmless_line() -> None:
    assert rejection(401, "a\r\nSet-Cookie: x\n\x00\x1b[31m\x85\u2028b\n").text == "a Set-Cookie: x [31m b"
    assert rejection(401, "").text == "unauthorized"
    assert rejection(401, "lone \ud800").encode().endswith(b"lone ?")


@given(st.binary(max_size=300) | st.text("GET /ws HTTP/1.1\r\nUpgrade: websocket,", max_size=300).map(str.encode))
def test_no_bytes_make_the_machine_raise_anything_but_an_answer(data: bytes) -> None:
    gatherer = HeadGatherer()
    try:
        complete = gatherer.feed(data + b"\r\n\r\n")
    except (HTTPAnswer, NoHTTPError):
        return
    assert complete
    result = check_request(gatherer.head, path="/ws", draining=False)
    assert isinstance(result, CheckedHead) or re.match(rb"HTTP/1\.1 \d{3} \w", result.encode())


def with_lines(*lines: str) -> bytes:
    return head() + "".join(f"\r\n{line}" for line in lines).encode()


TOKEN = "rrvJdNl6v2pDUq-99SHJsAYWRh"


@pytest.mark.parametrize(
    ("lines", "offered", "left"),
    [
        ([f"wspulse.1, wspulse.resume.{TOKEN}.7"], ("wspulse.1",), ["wspulse.1"]),
        ([f"wspulse.resume.{TOKEN}.7,wspulse.1"], ("wspulse.1",), ["wspulse.1"]),
        (["chat", f" wspulse.resume.{TOKEN}.7 ", "wspulse.1"], ("chat", "wspulse.1"), ["chat", "wspulse.1"]),
        ([f"wspulse.resume.{TOKEN}.7"], (), []),
        ([f"wspulse.resume.{TOKEN}.7,, wspulse.resume.{TOKEN}.8,chat"], ("chat",), ["chat"]),
    ],
)
def test_claim_is_taken_out_of_what_is_offered_and_out_of_the_head(
    lines: list[str], offered: tuple[str, ...], left: list[str]
) -> None:
    checked = upgrade(with_lines(*(f"Sec-WebSocket-Protocol: {line}" for line in lines), "X-Other: wspulse"))
    assert checked.claim == Claim(TOKEN, 7)
    assert checked.offered_subprotocols == offered
    assert TOKEN.encode() not in checked.head
    headers = Request.from_head(checked.head, None).headers
    assert headers.getall("sec-websocket-protocol") == left
    assert headers["x-other"] == "wspulse"
    assert key_of(checked.head) == KEY


def test_malformed_claim_claims_nothing_and_is_hidden_all_the_same() -> None:
    checked = upgrade(with_lines("Sec-WebSocket-Protocol: wspulse.1, wspulse.resume.secret"))
    assert (checked.claim, checked.offered_subprotocols) == (None, ("wspulse.1",))
    assert b"secret" not in checked.head


def test_head_without_a_claim_is_left_as_it_is() -> None:
    data = with_lines("Sec-WebSocket-Protocol: wspulse.1 ,chat")
    checked = upgrade(data)
    assert (checked.head, checked.claim, checked.offered_subprotocols) == (data, None, ("wspulse.1", "chat"))
