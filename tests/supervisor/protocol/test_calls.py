"""Operations as clients send them, and what comes out of their answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from wspulse.actors.values.errors import ControlError
from wspulse.actors.values.frame import Frame
from wspulse.supervisor.protocol.calls import Call, answer_number, calls, read_answer
from wspulse.supervisor.protocol.types import MovedInfo, ScaledInfo, ShardMovedInfo


def test_plans_have_600_s_and_other_operations_the_clients_own_time() -> None:
    plans = (calls.restart(0, drain=False), calls.reload(drain=True), calls.scale(3))
    assert {call.timeout_s for call in plans} == {600.0}
    others = (
        calls.ping(),
        calls.send("a", {}),
        calls.broadcast("r", {}),
        calls.kick("a"),
        calls.join("a", "r"),
        calls.leave("a", "r"),
        calls.connections(None),
        calls.rooms(),
        calls.stats(),
        calls.shutdown(),
    )
    assert {call.timeout_s for call in others} == {None}


def test_request_has_its_number_its_operation_and_its_arguments() -> None:
    assert msgspec.msgpack.decode(calls.kick("ada").encode(7)) == {"id": 7, "op": "kick", "args": {"connection": "ada"}}
    raw = calls.broadcast("den", Frame("e", msgspec.Raw(b"[1.50]"), "9")).encode(8)
    assert raw == b'{"id":8,"op":"broadcast","args":{"room":"den","frame":{"event":"e","id":"9","payload":[1.50]}}}'
    absent, null = (
        msgspec.msgpack.decode(calls.send("a", frame).encode(1)) for frame in (Frame("e"), Frame("e", None))
    )
    assert "payload" not in absent["args"]["frame"]
    assert null["args"]["frame"]["payload"] is None


def test_plans_say_that_they_drain_only_where_they_do() -> None:
    assert [call.args for call in (calls.restart(2, drain=False), calls.reload(drain=False))] == [{"shard": 2}, {}]
    drained = [call.args for call in (calls.restart(2, drain=True), calls.reload(drain=True))]
    assert drained == [{"shard": 2, "drain": True}, {"drain": True}]


def test_what_plans_came_to_has_its_types() -> None:
    figures: dict[str, Any] = {"moved": 7, "drained": 1, "longest_pause_s": 0.25}

    def read(call: Call[Any], result: Any) -> Any:
        return read_answer(msgspec.msgpack.encode({"id": 1, "ok": True, "result": result}), call)

    assert read(calls.restart(0, drain=False), figures) == MovedInfo(**figures)
    assert read(calls.reload(drain=False), [{"shard": 2, **figures}]) == [ShardMovedInfo(shard=2, **figures)]
    assert read(calls.scale(3), {"workers": 3, **figures}) == ScaledInfo(workers=3, **figures)


@pytest.mark.parametrize("encode", [msgspec.json.encode, msgspec.msgpack.encode])
def test_answer_is_known_by_its_number_in_either_encoding(encode: Callable[[object], bytes]) -> None:
    assert answer_number(encode({"id": 7, "ok": True, "result": {"deep": [1]}})) == 7
    assert answer_number(encode({"ok": True})) is None
    assert answer_number(encode({"id": "seven"})) is None


@pytest.mark.parametrize("data", [b"", b"\xc1", b"{", b"[1]", b"\x91" * 100_000, b'{"id":' + b"[" * 100_000])
def test_what_is_no_answer_has_no_number_and_cannot_be_read(data: bytes) -> None:
    assert answer_number(data) is None
    with pytest.raises(ControlError, match="the server's answer cannot be read"):
        read_answer(data, calls.rooms())


def test_result_has_the_operations_type_and_fields_of_later_versions_are_passed_over() -> None:
    data = msgspec.json.encode({"id": 1, "ok": True, "result": [{"id": "den", "connections": 2, "topic": "tea"}]})
    (room,) = read_answer(data, calls.rooms())
    assert (room.id, room.connections) == ("den", 2)
    assert read_answer(msgspec.msgpack.encode({"id": 1, "ok": True, "result": None}), calls.kick("ada")) is None


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        ({"ok": False, "error": {"code": "server_closed", "message": "wspulse: no"}}, "server_closed", "wspulse: no"),
        ({"ok": False, "error": {}}, "internal", "wspulse: the request failed"),
        ({"ok": False}, "internal", "wspulse: the request failed"),
        ({}, "internal", "wspulse: the request failed"),
    ],
)
def test_refusal_is_an_error_with_the_servers_code(answer: dict[str, object], code: str, text: str) -> None:
    with pytest.raises(ControlError) as refused:
        read_answer(msgspec.msgpack.encode(answer), calls.shutdown())
    assert (refused.value.error_code, str(refused.value)) == (code, text)
