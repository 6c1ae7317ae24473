"""The wire forms of a frame (contract §1)."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from tests.actors.values.text.test_lone_surrogates import drawn_value
from wspulse.actors.values.codec import Codec, JSONCodec, MsgpackCodec, RawCodec, decoding_lanes
from wspulse.actors.values.frame import Frame

DEEP = 100_000
"""Levels of nesting: far over Python's recursion limit."""

json_codec = JSONCodec()
msgpack_codec = MsgpackCodec()
raw_codec = RawCodec()


@pytest.mark.parametrize(("codec", "binary"), [(json_codec, False), (msgpack_codec, True), (raw_codec, None)])
def test_shipped_codec_keeps_the_contract_of_codecs(codec: Codec, binary: bool | None) -> None:
    assert isinstance(codec, Codec)
    assert codec.binary is binary


# JSON.


@pytest.mark.parametrize(
    ("frame", "wire"),
    [
        (Frame(), b"{}"),
        (Frame("chat"), b'{"event":"chat"}'),
        (Frame(id="7"), b'{"id":"7"}'),
        (Frame("", UNSET, ""), b"{}"),
        (Frame("chat", None), b'{"event":"chat","payload":null}'),
        (Frame("chat", {"a": [1, 2.5, True]}), b'{"event":"chat","payload":{"a":[1,2.5,true]}}'),
        (Frame("", 0), b'{"payload":0}'),
        (Frame("", ""), b'{"payload":""}'),
        (Frame("", {}), b'{"payload":{}}'),
        (Frame("grüße", "é"), '{"event":"grüße","payload":"é"}'.encode()),
    ],
)
def test_json_leaves_out_empty_names_and_an_absent_payload(frame: Frame, wire: bytes) -> None:
    assert json_codec.encode(frame) == wire


def test_json_passes_a_raw_payload_through_byte_for_byte() -> None:
    payload = b'{ "b" :\n1.0, "a": "\\u00e9", "b": 1e5 }'
    assert json_codec.encode(Frame("chat", Raw(payload))) == b'{"event":"chat","payload":' + payload + b"}"


def test_json_payload_comes_in_byte_for_byte_and_goes_out_the_same() -> None:
    payload = b'{ "b" :\n1.0, "a": "\\u00e9", "b": 123456789012345678901234567890 }'
    frame = json_codec.decode(b' {"id":"7", "payload":' + payload + b', "event" : "chat"} ')
    assert isinstance(frame.payload, Raw)
    assert bytes(frame.payload) == payload
    assert (frame.event, frame.id) == ("chat", "7")
    assert json_codec.encode(frame) == b'{"event":"chat","payload":' + payload + b',"id":"7"}'


@pytest.mark.parametrize(
    ("wire", "frame"),
    [
        (b"{}", Frame()),
        (b'{"event":"chat"}', Frame("chat")),
        (b'{"id":"","event":""}', Frame()),
        (b'{"Event":"no","room":"x","nested":{"event":[1,{"id":2}]},"event":"yes"}', Frame("yes")),
    ],
)
def test_json_fields_are_optional_and_unknown_ones_ignored(wire: bytes, frame: Frame) -> None:
    assert json_codec.decode(wire) == frame


def test_json_null_is_a_payload_and_none_is_none() -> None:
    frame = json_codec.decode(b'{"payload":null}')
    assert bytes(frame.payload) == b"null"
    assert json_codec.decode(b"{}").payload is UNSET


@pytest.mark.parametrize(
    "wire",
    [
        b"", b"x", b"{", b"null", b"[]", b'"text"', b"5", b'{"event":5}', b'{"event":null}', b'{"id":7}', b'{"id":["7"]}',
        b'{"event":"a"}{}', b'{"payload":}', b'{"payload":NaN}', b"{'event':'a'}", b'{"event":"\xff"}', b"\xef\xbb\xbf{}",
        b"\x80",
    ],
)  # fmt: skip
def test_json_that_is_no_frame_raises(wire: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        json_codec.decode(wire)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("field", [b"payload", b"unknown", b"event"])
def test_json_nested_too_deep_raises_and_never_crashes(field: bytes, opening: bytes) -> None:
    for end in (b"", b"1" + {b"[": b"]", b'{"a":': b"}"}[opening] * DEEP + b"}"):
        with pytest.raises((RecursionError, msgspec.DecodeError)):
            json_codec.decode(b'{"' + field + b'":' + opening * DEEP + end)


def test_json_that_cannot_be_encoded_raises() -> None:
    endless: list[Any] = []
    endless.append(endless)
    for payload, error in ((object(), TypeError), ("\ud800", UnicodeEncodeError), (endless, RecursionError)):
        with pytest.raises(error):
            json_codec.encode(Frame("chat", payload))


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(), values, max_size=4),
    max_leaves=10,
)


@given(st.text(), JSON_VALUES, st.text())
def test_json_frame_survives_the_way_there_and_back(event: str, payload: Any, frame_id: str) -> None:
    wire = json_codec.encode(Frame(event, payload, frame_id))
    assert json.loads(wire).get("payload", None) == payload
    frame = json_codec.decode(wire)
    assert (frame.event, frame.decode(), frame.id) == (event, payload, frame_id)
    assert json_codec.encode(frame) == wire


# msgpack.


def test_msgpack_frame_is_a_map_with_the_fields_of_json() -> None:
    assert msgspec.msgpack.decode(msgpack_codec.encode(Frame("chat", {"a": 1}, "7"))) == {
        "event": "chat",
        "payload": {"a": 1},
        "id": "7",
    }
    assert msgpack_codec.encode(Frame()) == b"\x80"
    assert msgspec.msgpack.decode(msgpack_codec.encode(Frame("chat", None))) == {"event": "chat", "payload": None}


def test_msgpack_payload_passes_byte_for_byte() -> None:
    payload = b"\xdc\x00\x01\xcf\x00\x00\x00\x00\x00\x00\x00\x05"  # [5], each part longer than needed
    wire = b"\x83\xa5event\xa4chat\xa7payload" + payload + b"\xa5extra\x01"
    frame = msgpack_codec.decode(wire)
    assert bytes(frame.payload) == payload
    assert frame.decode(list[int]) == [5]
    assert msgpack_codec.encode(frame) == b"\x82\xa5event\xa4chat\xa7payload" + payload


@pytest.mark.parametrize(
    "wire",
    [
        b"", b"\xc0", b"\x90", b"\xa1x", b"\xc1", b"\x81\xa5event\x01", b"\x81\xa5event\xc0", b"\x81\xa2id\x07",
        b"\x81\xa5event\xa1\xff", b"\x81\x01\x02", b"\x80\x80", b"\x81\xa7payload", b"\x81\xa7payload\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff", b'{"event":"a"}',
    ],
)  # fmt: skip
def test_msgpack_that_is_no_frame_raises(wire: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        msgpack_codec.decode(wire)


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\xa1a"])
@pytest.mark.parametrize("field", [b"\xa7payload", b"\xa7unknown", b"\xa5event"])
def test_msgpack_nested_too_deep_raises_and_never_crashes(field: bytes, opening: bytes) -> None:
    with pytest.raises((RecursionError, msgspec.DecodeError)):
        msgpack_codec.decode(b"\x81" + field + opening * DEEP + b"\xc0")


@given(st.binary(max_size=60))
def test_no_bytes_make_a_decoder_raise_anything_but_an_exception(wire: bytes) -> None:
    for codec in (json_codec, msgpack_codec):
        try:
            frame = codec.decode(wire)
        except Exception:
            continue
        assert isinstance(frame, Frame)


# Raw.


def test_raw_codec_keeps_text_text_and_bytes_bytes() -> None:
    for message in ("text", b"bytes", "", b""):
        frame = raw_codec.decode(message)  # type: ignore[arg-type]
        assert frame.payload == message
        assert (frame.event, frame.id) == ("", "")
        assert raw_codec.encode(frame) == message
        assert type(raw_codec.encode(frame)) is type(message)


@pytest.mark.parametrize("payload", [UNSET, None, 5, {"a": 1}, Raw(b"1")])
def test_raw_codec_refuses_what_is_neither_text_nor_bytes(payload: Any) -> None:
    with pytest.raises(TypeError, match="wspulse: the raw codec sends str or bytes"):
        raw_codec.encode(Frame("chat", payload))


# Halves of surrogate pairs.


def test_json_payload_with_half_an_emoji_passes_byte_for_byte(draw: Random) -> None:
    for _ in range(500):
        payload = drawn_value(draw).encode()
        wire = b'{ "no\\ud83d" :"\\ud83d", "payload" : ' + payload + b' ,"x":["\\ude00"],"event":"said","id":"7"}'
        frame = json_codec.decode(wire)
        assert (frame.event, frame.id, bytes(frame.payload)) == ("said", "7", payload)
        assert json_codec.encode(frame) == b'{"event":"said","payload":' + payload + b',"id":"7"}'


def test_json_payload_with_half_an_emoji_stays_itself_among_wide_letters_and_twins() -> None:
    frame = json_codec.decode('{"a":"é\U0001f600","payload":"\\ude00","p\\u0061yload":"é\\ud83d"}'.encode())
    assert bytes(frame.payload) == '"é\\ud83d"'.encode()
    assert frame.decode() == "é\ufffd"


@pytest.mark.parametrize("field", ["event", "id"])
def test_json_name_with_half_an_emoji_has_a_replacement_for_it(field: str) -> None:
    frame = json_codec.decode(b'{"payload":1,"%s":"a\\ud83d\\ud83d\\ude00"}' % field.encode())
    assert getattr(frame, field) == "a\ufffd\U0001f600"
    assert bytes(frame.payload) == b"1"


def test_json_that_is_malformed_is_refused_whatever_halves_it_has() -> None:
    for wire in (rb'{"payload":"\ud83d"', rb'{"event":1,"payload":"\ud83d"}', rb'["\ud83d"]', rb'{"payload":\ud83d}'):
        with pytest.raises(msgspec.DecodeError):
            json_codec.decode(wire)


def test_lanes_of_the_json_codec_are_a_function_of_c_and_one_that_reads_the_rest() -> None:
    first, second = decoding_lanes(json_codec)
    assert not hasattr(first, "__code__")
    wire = rb'{"payload":"\ud83d"}'
    with pytest.raises(msgspec.DecodeError) as refused:
        first(wire)
    assert bytes(second(wire, refused.value).payload) == rb'"\ud83d"'
    with pytest.raises(RecursionError):
        second(wire, RecursionError())


def test_codec_of_ones_own_is_asked_once_for_each_message() -> None:
    class Own(JSONCodec):
        def decode(self, data: bytes, /) -> Frame:
            raise KeyError(data)

    codec = Own()
    first, second = decoding_lanes(codec)
    assert first == codec.decode
    for own_or_msgpack in (second, decoding_lanes(msgpack_codec)[1]):
        with pytest.raises(KeyError):
            own_or_msgpack(b"", KeyError())


@pytest.mark.parametrize("codec", [json_codec, msgpack_codec])
@pytest.mark.parametrize(
    "frame", [Frame("a", "\ud83d"), Frame("\ud83d"), Frame(id="\ud83d"), Frame("a", {"\ud83d": 1})]
)
def test_text_with_half_an_emoji_that_the_application_sends_raises(codec: Codec, frame: Frame) -> None:
    with pytest.raises(UnicodeEncodeError, match="surrogates not allowed"):
        codec.encode(frame)


@pytest.mark.parametrize("room", [b"\xa1x", b"\x05", b"\xc0", b"\x91\xa1x", b"\xa1\xff", b"\xd7\xff" + b"\xff" * 8])
def test_room_of_an_inbound_msgpack_frame_is_ignored_whatever_it_is(room: bytes) -> None:
    data = b"\x83\xa5event\xa1e\xa4room" + room + b"\xa7payload\x07"
    read, refused = decoding_lanes(MsgpackCodec())
    try:
        frame = read(data)
    except Exception as error:
        frame = refused(data, error)
    assert (frame, frame.room, frame.decode()) == (MsgpackCodec().decode(data), "", 7)
    assert MsgpackCodec().encode(frame) == b"\x82\xa5event\xa1e\xa7payload\x07"


@pytest.mark.parametrize("room", [b'"x"', b"5", b'{"a":[1,"b"]}', b"1e999", b"9" * 5000, b'"\\ud83d"'])
def test_room_of_an_inbound_json_frame_is_ignored_whatever_it_is(room: bytes) -> None:
    frame = JSONCodec().decode(b'{"event":"e","room":' + room + b',"payload":"\\ud83d"}')
    assert frame == Frame("e", msgspec.Raw(b'"\\ud83d"'))
    assert JSONCodec().encode(frame) == b'{"event":"e","payload":"\\ud83d"}'


def test_room_goes_out_where_it_is_set() -> None:
    assert JSONCodec().encode(Frame("e", 1, room="den")) == b'{"event":"e","payload":1,"room":"den"}'
    assert JSONCodec().encode(Frame("e", room="")) == b'{"event":"e"}'
    assert msgspec.msgpack.decode(MsgpackCodec().encode(Frame("e", room="den"))) == {"event": "e", "room": "den"}
