"""What is asked, and what an answer says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from wspulse import Frame, JSONCodec, MsgpackCodec, RawCodec, ReplyError
from wspulse.actors.sessions.asking.answer import asking_frame, checked_timeout, replied


def test_frame_that_asks_is_a_copy_with_an_id_of_its_own() -> None:
    frame = Frame("ask", {"n": 1}, "the application's")
    asking, again = asking_frame(frame, JSONCodec()), asking_frame(frame, JSONCodec())
    assert (asking.event, asking.payload) == ("ask", {"n": 1})
    assert frame.id == "the application's"
    assert asking.id.startswith("wspulse:")
    assert asking.id != again.id
    assert len(asking.id) >= 8 + 16


def test_raw_codec_has_no_ids_to_find_an_answer_by() -> None:
    with pytest.raises(RuntimeError, match="the raw codec's frames do not have"):
        asking_frame(Frame("", "text"), RawCodec())


@pytest.mark.parametrize("timeout_s", [0.001, 5, 86_400])
def test_timeout_is_a_number_of_seconds(timeout_s: float) -> None:
    assert checked_timeout(timeout_s) == timeout_s


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), float("inf"), 86_401])
def test_timeout_out_of_its_range_is_refused(timeout_s: float) -> None:
    with pytest.raises(ValueError, match="wspulse: call: timeout_s"):
        checked_timeout(timeout_s)


@pytest.mark.parametrize("timeout_s", ["5", None, True])
def test_timeout_that_is_no_number_is_refused(timeout_s: Any) -> None:
    with pytest.raises(TypeError, match="wspulse: call: timeout_s"):
        checked_timeout(timeout_s)


@pytest.mark.parametrize("codec", [JSONCodec(), MsgpackCodec()])
@pytest.mark.parametrize("payload", [{"code": "no"}, None, "text"])
def test_error_carries_its_payload_as_plain_values(codec: JSONCodec | MsgpackCodec, payload: object) -> None:
    answer = codec.decode(codec.encode(Frame("ask.error", payload, "1")))
    with pytest.raises(ReplyError) as raised:
        replied(Frame("ask"), answer)
    assert raised.value.payload == payload


def test_error_without_a_payload_carries_none() -> None:
    with pytest.raises(ReplyError) as raised:
        replied(Frame("ask"), Frame("ask.error"))
    assert raised.value.payload is None


def test_error_that_cannot_be_decoded_carries_its_payload_as_it_came() -> None:
    answer = MsgpackCodec().decode(b"\x82\xa5event\xa9ask.error\xa7payload\xa1\xff")
    with pytest.raises(ReplyError) as raised:
        replied(Frame("ask"), answer)
    assert raised.value.payload == msgspec.Raw(b"\xa1\xff")


@pytest.mark.parametrize("event", ["ask", "error", "other.error", "ask.error.error", ""])
def test_answer_of_any_other_event_is_no_error(event: str) -> None:
    answer = Frame(event, 1, "1")
    assert replied(Frame("ask"), answer) is answer
