"""`Context`: the values it keeps, and how it decodes a payload."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from tests.support.sessions.fake_connection import FakeConnection
from wspulse import Context, Frame, InvalidPayloadError, JSONCodec, MsgpackCodec
from wspulse.actors.events.answer import Answers
from wspulse.actors.events.context import Chain


class Order(msgspec.Struct):
    items: list[int]


ANSWERS = Answers(logging.getLogger("answers"))


def make_context(payload: Any, data_type: Any = Any) -> Context:
    frame = Frame("order", payload)
    return Context(FakeConnection(), frame, Chain((), data_type, lambda context, error: None, ANSWERS))


def test_values_are_kept_when_they_were_set() -> None:
    context = make_context(UNSET)
    context.set("user", "alice")
    context["role"] = "admin"
    assert (context.get("user"), context["role"]) == ("alice", "admin")
    assert "user" in context
    assert "shoe size" not in context


def test_get_returns_the_default_when_nothing_was_set() -> None:
    context = make_context(UNSET)
    assert context.get("user") is None
    assert context.get("user", "nobody") == "nobody"
    assert "user" not in context


@pytest.mark.parametrize("values", [{}, {"role": "admin"}])
def test_item_raises_key_error_when_it_was_not_set(values: dict[str, Any]) -> None:
    context = make_context(UNSET)
    for key, value in values.items():
        context[key] = value
    with pytest.raises(KeyError, match="user"):
        context["user"]


def test_data_is_plain_values_when_no_type_is_named() -> None:
    assert make_context(msgspec.Raw(b'{"items":[1,"x"]}')).data == {"items": [1, "x"]}


def test_data_is_none_when_there_is_no_payload() -> None:
    assert make_context(UNSET).data is None


def test_data_is_decoded_once_when_it_is_asked_for_twice() -> None:
    context = make_context(msgspec.Raw(b'{"items":[1]}'), Order)
    assert context.data is context.data


@pytest.mark.parametrize("codec", [JSONCodec(), MsgpackCodec()])
def test_data_is_decoded_by_the_codec_of_its_frame(codec: JSONCodec | MsgpackCodec) -> None:
    frame = codec.decode(codec.encode(Frame("order", Order([1, 2]))))
    context = Context(FakeConnection(), frame, Chain((), Order, lambda context, error: None, ANSWERS))
    assert context.data == Order([1, 2])


@pytest.mark.parametrize(
    ("payload", "path", "problem"),
    [
        (b'{"items":[1,"x"]}', "$.items[1]", "Expected `int`, got `str`"),
        (b"{}", "$", "Object missing required field `items`"),
        (b"[]", "$", "Expected `object`, got `array`"),
        (b'{"items"', "$", "Input data was truncated"),
        (b'{"items":"\xff"}', "$.items", "Expected `array`, got `str`"),
    ],
)
def test_data_names_path_and_problem_when_the_payload_does_not_fit(payload: bytes, path: str, problem: str) -> None:
    with pytest.raises(InvalidPayloadError) as caught:
        make_context(msgspec.Raw(payload), Order).data  # noqa: B018
    assert (caught.value.path, caught.value.problem) == (path, problem)
    assert str(caught.value) == f"wspulse: invalid payload: {problem} at {path}"


def test_data_is_refused_when_a_binary_message_brought_bad_text() -> None:
    with pytest.raises(InvalidPayloadError, match="UTF-8"):
        make_context(msgspec.Raw(b'"\xff"'), str).data  # noqa: B018


def test_data_is_refused_when_it_is_nested_deeper_than_the_stack_allows() -> None:
    depth = 100_000  # beyond any limit, that of Python's stack or that of C's
    with pytest.raises(InvalidPayloadError, match="nesting"):
        make_context(msgspec.Raw(b"[" * depth + b"]" * depth)).data  # noqa: B018


def test_error_is_shortened_when_the_peer_made_up_a_long_name() -> None:
    class Strict(msgspec.Struct, forbid_unknown_fields=True):
        pass

    with pytest.raises(InvalidPayloadError) as caught:
        make_context(msgspec.Raw(b'{"' + b"x" * 1_000_000 + b'":1}'), Strict).data  # noqa: B018
    assert len(caught.value.problem) == 201


def test_context_shows_its_event_and_connection_when_printed() -> None:
    context = make_context(UNSET)
    assert "order" in repr(context)
    assert "alice" in repr(context)
    context.abort()
    assert "aborted" in repr(context)
