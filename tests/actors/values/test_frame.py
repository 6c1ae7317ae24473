"""What a frame is without a codec: its defaults, and decoding its payload."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET, Raw

from wspulse.actors.values.frame import Frame, MsgpackFrame


class Point(msgspec.Struct):
    x: int
    y: int = 0


def test_frame_without_fields_is_empty() -> None:
    frame = Frame()
    assert (frame.event, frame.payload, frame.id) == ("", UNSET, "")


def test_fields_come_in_the_order_event_payload_id() -> None:
    assert Frame("chat", [1], "7") == Frame(event="chat", payload=[1], id="7")


def test_raw_payload_is_decoded_and_validated() -> None:
    frame = Frame("move", Raw(b'{"x": 3}'))
    assert frame.decode() == {"x": 3}
    assert frame.decode(Point) == Point(3)
    assert frame.decode(dict[str, int]) == {"x": 3}


def test_raw_msgpack_payload_is_decoded_and_validated() -> None:
    frame = MsgpackFrame("move", Raw(msgspec.msgpack.encode({"x": 3})))
    assert frame.decode() == {"x": 3}
    assert frame.decode(Point) == Point(3)


def test_payload_that_does_not_fit_raises_with_its_path() -> None:
    for frame in (Frame("move", Raw(b'{"x": "3"}')), Frame("move", {"x": "3"})):
        with pytest.raises(msgspec.ValidationError, match=r"\$\.x"):
            frame.decode(Point)


def test_malformed_raw_payload_raises_decode_error() -> None:
    with pytest.raises(msgspec.DecodeError):
        Frame("move", Raw(b'{"x"')).decode()
    with pytest.raises(msgspec.DecodeError):
        MsgpackFrame("move", Raw(b"\x92\x01")).decode()


def test_absent_payload_counts_as_none() -> None:
    assert Frame("ping").decode() is None
    assert Frame("ping").decode(list[int] | None) is None  # type: ignore[arg-type] # mypy has no word for such a type
    assert MsgpackFrame("ping").decode() is None
    with pytest.raises(msgspec.ValidationError):
        Frame("ping").decode(Point)


@pytest.mark.parametrize("payload", [None, 5, "text", [1, 2], {"x": 1}])
def test_payload_that_is_not_raw_is_given_back(payload: Any) -> None:
    assert Frame("any", payload).decode() == payload


def test_payload_that_is_not_raw_is_converted() -> None:
    assert Frame("move", {"x": 3, "y": 4}).decode(Point) == Point(3, 4)
