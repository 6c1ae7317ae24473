"""Frames from the control socket, for each codec."""

from __future__ import annotations

import msgspec
import pytest

from wspulse.actors.values.codec import Codec, JSONCodec, MsgpackCodec, RawCodec
from wspulse.actors.values.control_frame import encode_control_frame, read_control_frame
from wspulse.actors.values.errors import BadRequestError
from wspulse.actors.values.frame import Frame
from wspulse.actors.wire.encoder import wire_encoder


def wire(data: bytes, encoding: str, codec: Codec) -> bytes | str:
    return encode_control_frame(codec.encode, read_control_frame(data, encoding, codec))  # type: ignore[arg-type]


def test_payload_goes_byte_for_byte_where_the_encodings_are_the_same() -> None:
    data = b'{"event":"e","payload":{"a" : 1.50}}'
    assert wire(data, "json", JSONCodec()) == data
    packed = b"\x81\xa7payload\xcd\x00\x01"  # not the shortest form of 1
    assert wire(packed, "msgpack", MsgpackCodec()) == packed


def test_payload_is_translated_where_they_differ() -> None:
    data = b'{"event":"e","payload":{"a" : 1.50}}'
    packed = msgspec.msgpack.encode({"event": "e", "payload": {"a": 1.5}})
    assert wire(data, "json", MsgpackCodec()) == packed
    assert wire(packed, "msgpack", JSONCodec()) == b'{"event":"e","payload":{"a":1.5}}'
    assert wire(b'{"payload":"text"}', "json", RawCodec()) == "text"
    assert wire(msgspec.msgpack.encode({"payload": b"\xff"}), "msgpack", RawCodec()) == b"\xff"


def test_half_an_emoji_goes_byte_for_byte_or_becomes_a_replacement() -> None:
    data = rb'{"event":"e","payload":"\ud83d"}'
    assert wire(data, "json", JSONCodec()) == data
    assert wire(data, "json", MsgpackCodec()) == msgspec.msgpack.encode({"event": "e", "payload": "\ufffd"})
    assert wire(data, "json", RawCodec()) == "\ufffd"


@pytest.mark.parametrize(
    ("data", "encoding", "codec"),
    [
        (b"3", "json", JSONCodec()),
        (b'{"event":1}', "json", JSONCodec()),
        (b'{"payload":"\xff"}', "json", JSONCodec()),
        (rb'{"payload":"\ud83d"', "json", JSONCodec()),
        (b'{"payload":' + b"[" * 100_000, "json", JSONCodec()),
        (b"\xc1", "msgpack", JSONCodec()),
        (b'{"payload":{}}', "json", RawCodec()),
        (b'{"payload":1180591620717411303424}', "json", MsgpackCodec()),
    ],
)
def test_what_the_codec_cannot_send_is_a_bad_request(data: bytes, encoding: str, codec: Codec) -> None:
    with pytest.raises(BadRequestError, match="frame: "):
        wire(data, encoding, codec)


def test_words_of_a_codec_that_refuses_are_shortened_and_say_wspulse_once() -> None:
    def refuse(_frame: Frame) -> bytes:
        raise ValueError("wspulse: " + "x" * 1000)

    with pytest.raises(BadRequestError) as raised:
        encode_control_frame(refuse, Frame())
    assert str(raised.value) == f"wspulse: bad request: frame: the codec cannot encode it: {'x' * 200}…"


@pytest.mark.parametrize("codec", [JSONCodec(), MsgpackCodec()])
def test_room_of_a_frame_from_the_control_socket_goes_out(codec: JSONCodec | MsgpackCodec) -> None:
    for data, encoding in ((b'{"room":"den"}', "json"), (msgspec.msgpack.encode({"room": "den"}), "msgpack")):
        assert read_control_frame(data, encoding, codec).room == "den"
    with pytest.raises(BadRequestError):
        read_control_frame(b'{"room":5}', "json", codec)


def test_event_of_the_protocol_is_a_bad_request() -> None:
    frame = read_control_frame(b'{"event":"wspulse.ack","payload":7}', "json", JSONCodec())
    with pytest.raises(BadRequestError, match=r"events that begin with 'wspulse\.'"):
        encode_control_frame(wire_encoder(JSONCodec()), frame)
