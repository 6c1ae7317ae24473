"""Requests and answers of the control socket as bytes."""

from __future__ import annotations

import json

import msgspec
import pytest

from wspulse.actors.values.errors import BadRequestError
from wspulse.supervisor.protocol.wire import (
    UnreadableRequestError,
    error_answer,
    read_args,
    read_request,
    result_answer,
)


class Arguments(msgspec.Struct, forbid_unknown_fields=True):
    room: str
    shard: int = 0


@pytest.mark.parametrize(("encode", "encoding"), [(msgspec.json.encode, "json"), (msgspec.msgpack.encode, "msgpack")])
def test_request_is_read_in_its_encoding(encode: object, encoding: str) -> None:
    assert callable(encode)
    request = read_request(encode({"id": 7, "op": "x", "args": {"room": "a"}, "unknown": 1}))
    assert (request.id, request.op, request.encoding) == (7, "x", encoding)
    assert read_args(request, Arguments) == Arguments("a")
    with pytest.raises(BadRequestError, match="args: "):
        read_args(read_request(encode({"op": "x", "args": {"rooom": "a"}})), Arguments)
    with pytest.raises(BadRequestError, match="room"):
        read_args(read_request(encode({"op": "x"})), Arguments)


@pytest.mark.parametrize(
    ("data", "request_id"),
    [
        (b"", None),
        (b"{", None),
        (b'{"op": "\xff"}', None),
        (b'{"id": 3}', 3),
        (b'{"id": "x", "op": []}', "x"),
        (b'{"id": [], "op": "x"}', None),
        (b'{"id": 99999999999999999999999, "op": "x"}', None),
        (b'{"id": "' + b"x" * 300 + b'", "op": "x"}', None),
        (b'{"id": 1, "args": ' + b"[" * 100_000, None),
        (b"\x81" * 100_000, None),
    ],
)
def test_unreadable_request_keeps_the_id_that_can_be_answered(data: bytes, request_id: object) -> None:
    with pytest.raises(UnreadableRequestError) as refused:
        read_request(data)
    assert refused.value.request_id == request_id
    assert refused.value.encoding == ("json" if data.startswith(b"{") else "msgpack")
    assert len(refused.value.problem) < 300


def test_request_with_half_an_emoji_is_read_and_its_raw_arguments_are_as_they_came() -> None:
    class WithFrame(msgspec.Struct):
        room: str
        frame: msgspec.Raw

    request = read_request(
        rb'{"id":7,"op":"broadcast","args":{"room":"a\ud83d","frame":{"payload":"\ude00"}},"x":"\ud83d"}'
    )
    assert bytes(request.args) == rb'{"room":"a\ud83d","frame":{"payload":"\ude00"}}'
    arguments = read_args(request, WithFrame)
    assert (arguments.room, bytes(arguments.frame)) == ("a\ufffd", rb'{"payload":"\ude00"}')
    with pytest.raises(UnreadableRequestError) as unreadable:
        read_request(rb'{"id":7,"op":1,"args":"\ud83d"}')
    assert unreadable.value.request_id == 7


def test_answer_of_a_program_has_no_op() -> None:
    request = read_request(b'{"id": 4, "ok": true, "result": {"room": "a"}}')
    assert (request.op, request.id, request.error, bytes(request.args)) == ("", 4, None, b'{"room": "a"}')
    assert read_request(b'{"id": 4, "ok": false, "error": "no"}').error == "no"
    assert read_request(b'{"id": 4, "ok": false}').error == "refused"


def test_answers_have_the_form_of_the_table() -> None:
    assert json.loads(result_answer("json", 1, [None])) == {"id": 1, "ok": True, "result": [None]}
    assert msgspec.msgpack.decode(error_answer("msgpack", None, "internal", "text")) == {
        "id": None,
        "ok": False,
        "error": {"code": "internal", "message": "text"},
    }


def test_problem_that_quotes_a_long_input_is_shortened() -> None:
    request = read_request(msgspec.json.encode({"op": "x", "args": {"y" * 1000: 1}}))
    with pytest.raises(BadRequestError) as raised:
        read_args(request, Arguments)
    assert len(str(raised.value)) < 250
    assert str(raised.value).endswith("yyy…")
