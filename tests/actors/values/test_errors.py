"""The errors: their tree, their texts, and their way between processes."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from wspulse.actors.values import errors
from wspulse.actors.values.errors import (
    ConnectionClosedError,
    ConnectionLostError,
    ConnectionNotFoundError,
    ConnectRejected,
    ControlError,
    DuplicateConnectionIDError,
    KeepaliveTimeoutError,
    PeerClosedError,
    ProtocolError,
    ReplyError,
    SendBufferFullError,
    ServerClosedError,
    ShardUnavailableError,
    TransportError,
    WriteTimeoutError,
    WspulseError,
    error_from_code,
    error_subject,
    id_error,
    text_of,
)

TEXTS = [
    (ConnectionNotFoundError("alice"), "wspulse: connection not found: alice"),
    (ConnectionClosedError("alice"), "wspulse: connection is closed: alice"),
    (SendBufferFullError("alice"), "wspulse: send buffer is full: alice"),
    (DuplicateConnectionIDError("alice"), "wspulse: kicked: duplicate connection id: alice"),
    (ServerClosedError(), "wspulse: server is closed"),
    (ShardUnavailableError("shard 2 is down"), "wspulse: shard unavailable: shard 2 is down"),
    (ControlError("no answer"), "wspulse: no answer"),
    (
        ControlError("wspulse: connection not found: alice", "connection_not_found"),
        "wspulse: connection not found: alice",
    ),
    (PeerClosedError(4001, ""), "wspulse: peer closed with code 4001"),
    (PeerClosedError(4001, "bye"), "wspulse: peer closed with code 4001 (bye)"),
    (ProtocolError(1002, "frame is not masked"), "wspulse: frame is not masked"),
    (ConnectionLostError(), "wspulse: connection lost without a close frame"),
    (KeepaliveTimeoutError(), "wspulse: no pong in time"),
    (WriteTimeoutError(), "wspulse: a write made no progress in time"),
]


@pytest.mark.parametrize(("error", "text"), TEXTS)
def test_error_says_what_happened_to_whom(error: WspulseError, text: str) -> None:
    assert str(error) == text


def test_errors_carry_fields() -> None:
    assert ConnectionNotFoundError("alice").connection_id == "alice"
    assert ShardUnavailableError("down").reason == "down"
    assert ControlError("no answer").error_code == "unavailable"
    assert (PeerClosedError(4001, "bye").close_code, PeerClosedError(4001, "bye").close_reason) == (4001, "bye")
    assert (ProtocolError(1009, "big").close_code, ProtocolError(1009, "big").reason) == (1009, "big")


def test_every_error_is_a_wspulse_error_but_those_that_answer() -> None:
    classes = {value for _, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, Exception)}
    assert {value for value in classes if not issubclass(value, WspulseError)} == {ConnectRejected, ReplyError}
    assert {error.__name__ for error in classes if not error.__name__.startswith("_")} <= set(errors.__all__)


def test_ends_of_a_transport_are_transport_errors() -> None:
    for kind in (PeerClosedError, ProtocolError, ConnectionLostError, KeepaliveTimeoutError, WriteTimeoutError):
        assert issubclass(kind, TransportError)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionNotFoundError("alice"),
        ConnectionClosedError("alice"),
        SendBufferFullError("alice"),
        DuplicateConnectionIDError("alice"),
        ServerClosedError(),
        ShardUnavailableError("shard 2 is down"),
        WspulseError("wspulse: something else"),
    ],
)
def test_error_comes_back_equal_from_its_code_and_subject(error: WspulseError) -> None:
    again = error_from_code(error.code, error_subject(error))
    assert type(again) is type(error)
    assert str(again) == str(error)


def test_error_that_is_not_ours_travels_without_its_text() -> None:
    assert str(error_from_code(WspulseError.code, error_subject(KeyError("secret")))) == "wspulse: internal error"


def test_unknown_code_becomes_the_base_error() -> None:
    error = error_from_code("from_the_future", "what it says")
    assert type(error) is WspulseError
    assert str(error) == "wspulse: what it says"


def test_codes_of_errors_are_those_of_the_control_socket() -> None:
    assert {error.code for error, _ in TEXTS[:6]} == {
        "connection_not_found",
        "connection_closed",
        "send_buffer_full",
        "duplicate_connection_id",
        "server_closed",
        "shard_unavailable",
    }


def test_connect_rejected_is_401_unless_told_otherwise() -> None:
    assert (ConnectRejected("bad token").status, ConnectRejected("bad token").text) == (401, "bad token")
    assert ConnectRejected("full", 503).status == 503
    assert ConnectRejected().text == ""
    assert ConnectRejected(KeyError("token")).text == "'token'"  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [0, 200, 302, 399, 600])
def test_connect_rejected_with_a_status_that_rejects_nothing_is_refused(status: int) -> None:
    with pytest.raises(ValueError, match=f"wspulse: ConnectRejected: status is {status}"):
        ConnectRejected("no", status)


@pytest.mark.parametrize("status", ["403", None, 403.0, True])
def test_connect_rejected_with_a_status_that_is_no_int_is_refused(status: Any) -> None:
    with pytest.raises(TypeError, match="wspulse: ConnectRejected: status must be an int, not "):
        ConnectRejected("no", status)


def test_error_of_an_id_says_what_was_given_and_what_is_allowed() -> None:
    assert str(id_error("room", 5)) == "wspulse: a room id must be a str, not int: 5"
    assert len(str(id_error("connection", b"x" * 10_000))) < 300


def test_of_what_an_error_says_others_are_told_a_bounded_part() -> None:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise LookupError

    assert text_of(ValueError("x" * 5_000_000)) == "x" * 4096
    assert text_of(ValueError("short")) == "short"
    assert text_of(Unspeakable()) == "its text is not available"
