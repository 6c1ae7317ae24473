"""Messages of a client that may compress them: what is taken, what is a violation, and what it costs."""

from __future__ import annotations

import random
import tracemalloc
from zlib import Z_FINISH, compressobj

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.wire.compressed import compressed_frame, compressed_message, deflated
from tests.support.wire.frame_streams import client_frame
from wspulse.actors.values.errors import ProtocolError
from wspulse.actors.wire.compression.inflating_parser import InflatingParser
from wspulse.actors.wire.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from wspulse.actors.wire.framing import PAUSE, FrameParser
from wspulse.actors.wire.parser_record import ParserRecord

MEBIBYTE = 1 << 20
LONG = '{"event":"größer 🎈"}'.encode() * 50
NOISE = random.Random(1).randbytes(5000)
EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"
LAST_BLOCK = b"\x03\x00"
"""Empty too."""


def drain(parser: FrameParser) -> list[tuple[int, bytes]]:
    messages = []
    while (message := parser.next()) is not None:
        if message[0] != PAUSE:
            messages.append(message)
    return messages


def taken(data: bytes, limit: int = MEBIBYTE) -> list[tuple[int, bytes]]:
    parser = InflatingParser(limit)
    parser.feed(data)
    messages = drain(parser)
    assert parser.record() == ParserRecord()
    return messages


def violation(data: bytes, limit: int = MEBIBYTE) -> tuple[int, str, int]:
    """The close code, its reason, and the size that is logged; the same again when it is asked again."""
    parser = InflatingParser(limit)
    parser.feed(data)
    with pytest.raises(ProtocolError) as first:
        drain(parser)
    with pytest.raises(ProtocolError) as second:
        parser.next()
    assert (first.value.close_code, first.value.reason) == (second.value.close_code, second.value.reason)
    assert parser.ended
    return first.value.close_code, first.value.reason, first.value.message_bytes


# What is taken.


@pytest.mark.parametrize("level", [0, 1, 6, 9])
@pytest.mark.parametrize("window_bits", [9, 12, 15])
@pytest.mark.parametrize("content", [b"", b"a", LONG, NOISE, LONG * 200, bytes(MEBIBYTE)])
def test_compressed_message_is_taken_as_what_it_was(content: bytes, level: int, window_bits: int) -> None:
    data = deflated(content, level=level, window_bits=window_bits)
    assert taken(compressed_frame(BINARY, data) + client_frame(PING, b"?")) == [(BINARY, content), (PING, b"?")]


MESSAGES = st.tuples(
    st.booleans(),
    st.binary(max_size=300)
    | st.integers(0, 3000).map(lambda size: (LONG * 4)[:size])
    | st.integers(0, 70_000).map(bytes),
    st.lists(st.integers(0, 100_000), max_size=4),
    st.sampled_from((b"", client_frame(PING, b"between"), client_frame(PONG) * 2)),
    st.integers(0, 9),
)


@settings(deadline=None)
@given(st.lists(MESSAGES, min_size=1, max_size=5), st.lists(st.integers(0, 400_000), max_size=6), st.integers(-1, 6))
def test_messages_come_out_however_they_are_fragmented_and_cut_and_wherever_they_are_moved(
    messages: list[tuple[bool, bytes, list[int], bytes, int]], cuts: list[int], moves_before: int
) -> None:
    data, expected = b"", []
    for is_compressed, content, places, between, level in messages:
        wire = deflated(content, level=level) if is_compressed else content
        at = [place % (len(wire) + 1) for place in places]
        message = compressed_message(BINARY, wire, at, between)
        # The first bit that is reserved is all the difference.
        data += message if is_compressed else bytes((message[0] & 0xBF,)) + message[1:]
        expected.append((BINARY, content))
    places = sorted({cut % len(data) for cut in cuts})
    parser: FrameParser = InflatingParser(100_000)
    found = []
    for number, (start, end) in enumerate(zip([0, *places], [*places, len(data)], strict=True)):
        if number == moves_before:
            wire = msgspec.msgpack.encode(parser.record())
            parser = InflatingParser.of(100_000, msgspec.msgpack.decode(wire, type=ParserRecord))
        message_or_none = parser.take(data[start:end])
        if message_or_none is not None:
            found.append(message_or_none)
            found += drain(parser)
    assert [message for message in found if message[0] == BINARY] == expected
    assert parser.record() == ParserRecord()


def test_message_in_the_middle_of_which_the_parser_is_moved_at_any_byte_comes_out() -> None:
    data = compressed_message(TEXT, deflated(LONG), [0, 3, 40], client_frame(PING, b"between"))
    data += client_frame(TEXT, b"x" * 100) + compressed_frame(BINARY, deflated(b"next"))
    expected = [(PING, b"between")] * 3 + [(TEXT, LONG), (TEXT, b"x" * 100), (BINARY, b"next")]
    for at in range(len(data)):
        first = InflatingParser(1250)
        first.feed(data[:at])
        found = drain(first)
        second = InflatingParser.of(
            1250, msgspec.msgpack.decode(msgspec.msgpack.encode(first.record()), type=ParserRecord)
        )
        second.feed(data[at:])
        assert found + drain(second) == expected, at


@pytest.mark.parametrize(
    "data",
    [
        # RFC 7692 §7.2.3: the ways to compress "Hello".
        bytes.fromhex("f248cdc9c90700"),
        bytes.fromhex("000500fa ff48656c6c6f00".replace(" ", "")),
        bytes.fromhex("f348cdc9c9070000"),
        bytes.fromhex("f24805000000ffffcac9c90700"),
        # The last block with nothing behind it, as clients end that do not know of §7.2.3.4.
        bytes.fromhex("f348cdc9c90700"),
    ],
)
def test_message_is_taken_in_each_form_of_the_rfc(data: bytes) -> None:
    assert taken(compressed_frame(TEXT, data)) == [(TEXT, b"Hello")]
    assert taken(compressed_message(TEXT, data, range(1, len(data)))) == [(TEXT, b"Hello")]


def test_what_stands_behind_a_last_block_may_refer_to_what_stands_before_it() -> None:
    content = NOISE[:400]
    first = compressobj(6, wbits=-15)
    data = first.compress(content) + first.flush(Z_FINISH)
    second = compressobj(6, wbits=-15, zdict=content)
    again = second.compress(content) + second.flush(Z_FINISH)
    assert len(again) < 20
    assert taken(compressed_frame(BINARY, data + again + b"\x00")) == [(BINARY, content * 2)]


def test_message_that_cannot_be_compressed_may_be_as_long_as_any() -> None:
    for level in range(10):
        data = deflated(NOISE, level=level)
        assert taken(compressed_frame(BINARY, data), len(NOISE)) == [(BINARY, NOISE)]
    # Flushed behind each byte, it is several times as long as what it says.
    compressor = compressobj(1, wbits=-15)
    data = b"".join(compressor.compress(bytes((byte,))) + compressor.flush(2) for byte in NOISE[:512])
    assert len(data) > 3000
    assert taken(compressed_frame(BINARY, data[:-4]), 512) == [(BINARY, NOISE[:512])]


def test_text_that_is_no_utf8_fails_when_it_is_decompressed() -> None:
    bad = LONG + b"\xed\xa0\x80"
    assert violation(compressed_frame(TEXT, deflated(bad))) == (1007, "text is not UTF-8", 0)
    assert taken(compressed_frame(BINARY, deflated(bad))) == [(BINARY, bad)]
    # Its compressed form is not UTF-8 either, and nobody minds.
    assert taken(compressed_message(TEXT, deflated(LONG), [5, 9])) == [(TEXT, LONG)]


# Violations.


@pytest.mark.parametrize(
    "data",
    [
        client_frame(PING, b"?", rsv=4),
        client_frame(CLOSE, b"\x03\xe8", rsv=4),
        client_frame(CONTINUATION, b"x", rsv=4),
        compressed_frame(TEXT, deflated(LONG)[:20], fin=False) + client_frame(CONTINUATION, deflated(LONG)[20:], rsv=4),
        client_frame(TEXT, b"a", fin=False) + client_frame(CONTINUATION, b"b", rsv=4),
        compressed_frame(TEXT, deflated(LONG)[:20], fin=False) + client_frame(PING, b"?", rsv=4),
        client_frame(TEXT, b"a", rsv=2),
        client_frame(TEXT, deflated(b"a"), rsv=6),
        client_frame(TEXT, deflated(b"a"), rsv=5),
    ],
)
def test_reserved_bit_anywhere_but_where_a_message_begins_is_a_violation(data: bytes) -> None:
    assert violation(data)[:2] == (1002, "reserved bit is set")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (compressed_frame(TEXT, b"a", fin=False) + compressed_frame(TEXT, b"a"), "reserved bit is set"),
        (compressed_frame(TEXT, b"a", fin=False) + client_frame(TEXT, b"a"), "message begins inside a fragmented one"),
        (compressed_frame(TEXT, b"a", mask=None), "frame is not masked"),
        (client_frame(3, b"a", rsv=4), "unknown opcode"),
    ],
)
def test_other_violations_are_those_of_every_client(data: bytes, reason: str) -> None:
    assert violation(data)[:2] == (1002, reason)


def test_client_that_has_agreed_on_nothing_may_not_compress() -> None:
    parser = FrameParser(MEBIBYTE)
    parser.feed(compressed_frame(TEXT, deflated(LONG)))
    with pytest.raises(ProtocolError, match="reserved bit is set"):
        parser.next()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x07", "compressed message is malformed"),
        (b"not compressed at all", "compressed message is malformed"),
        (deflated(LONG) + b"garbage", "compressed message is malformed"),
        (deflated(LONG)[:-20], "compressed message is malformed"),
        (deflated(LONG, level=0)[:500], "compressed message is truncated"),
        (LAST_BLOCK + b"garbage", "compressed message is malformed"),
        (LAST_BLOCK * 8 + b"\x00", "compressed message has too many final blocks"),
        (LAST_BLOCK * 500_000, "compressed message has too many final blocks"),
    ],
)
def test_message_that_cannot_be_decompressed_fails_with_1007(data: bytes, reason: str) -> None:
    assert violation(compressed_frame(TEXT, data)) == (1007, reason, 0)


def test_message_is_as_long_as_it_is_decompressed() -> None:
    assert taken(compressed_frame(BINARY, deflated(bytes(512))), 512) == [(BINARY, bytes(512))]
    assert violation(compressed_frame(BINARY, deflated(bytes(513))), 512) == (1009, "message is over 512 bytes", 513)
    assert taken(compressed_message(BINARY, deflated(bytes(512)), [3, 5]), 512) == [(BINARY, bytes(512))]
    assert violation(compressed_message(BINARY, deflated(bytes(513)), [3, 5]), 512)[:2] == (
        1009,
        "message is over 512 bytes",
    )
    for size in (100_000, 300_000):
        assert taken(compressed_frame(BINARY, deflated(bytes(size))), size) == [(BINARY, bytes(size))]
        assert violation(compressed_frame(BINARY, deflated(bytes(size + 1))), size)[0] == 1009


def test_plain_message_of_a_client_that_may_compress_has_the_bound_of_every_client() -> None:
    for begun in (b"", compressed_frame(BINARY, deflated(b"x")), compressed_message(BINARY, deflated(b"x"), [1])):
        assert violation(begun + client_frame(BINARY, bytes(513)), 512) == (1009, "message is over 512 bytes", 513)
    # Also where its header comes behind one that was not complete.
    parser = InflatingParser(512)
    for data in (compressed_frame(BINARY, deflated(b"x"))[:1], compressed_frame(BINARY, deflated(b"x"))[1:]):
        parser.feed(data)
        drain(parser)
    with pytest.raises(ProtocolError):
        parser.take(client_frame(BINARY, bytes(513))[:8])


def test_compressed_form_is_bounded_too_and_before_it_has_come() -> None:
    limit = 512 + 128 + 4096
    header = client_frame(BINARY, b"", rsv=4, size=limit + 1)
    assert violation(header, 512) == (1009, f"compressed message is over {limit} bytes", limit + 1)
    begun = compressed_frame(BINARY, EMPTY_BLOCK * 500, fin=False)
    assert violation(begun + client_frame(CONTINUATION, EMPTY_BLOCK * 500), 512)[:2] == (
        1009,
        f"compressed message is over {limit} bytes",
    )
    # Nothing but empty blocks, as much of them as may be.
    assert taken(compressed_frame(BINARY, EMPTY_BLOCK * 947 + b"\x00"), 512) == [(BINARY, b"")]


def test_compressed_message_that_has_begun_keeps_its_bound_where_its_parser_moves() -> None:
    parser = InflatingParser(512)
    data = deflated(NOISE[:512], level=0)
    assert len(data) > 512
    parser.feed(compressed_frame(BINARY, data[:10], fin=False))
    drain(parser)
    moved = InflatingParser.of(512, parser.record())
    moved.feed(client_frame(CONTINUATION, data[10:]))
    assert drain(moved) == [(BINARY, NOISE[:512])]
    with pytest.raises(ProtocolError):
        moved.take(client_frame(BINARY, bytes(513)))


# What it costs.


def peak_bytes(data: bytes, limit: int) -> tuple[int, int]:
    """How it fails, and how much memory that took beside what had come."""
    parser = InflatingParser(limit)
    parser.feed(data)
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError) as failure:
            drain(parser)
        return failure.value.close_code, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_bomb_costs_no_more_memory_than_a_message_may_have_and_a_chunk() -> None:
    bomb = compressed_frame(BINARY, deflated(bytes(64 * MEBIBYTE), level=9))
    assert len(bomb) < 70_000
    code, bytes_used = peak_bytes(bomb, MEBIBYTE)
    assert code == 1009
    assert bytes_used < 1.2 * MEBIBYTE + 4 * len(bomb) + 300_000


def test_bomb_beside_a_high_limit_is_bounded_by_its_ratio() -> None:
    data = deflated(bytes(60 * MEBIBYTE), level=9)
    assert violation(compressed_frame(BINARY, data), 64 * MEBIBYTE)[:2] == (
        1009,
        "message is compressed more than 200 times",
    )
    code, bytes_used = peak_bytes(compressed_frame(BINARY, data), 64 * MEBIBYTE)
    assert code == 1009
    assert bytes_used < 16 * MEBIBYTE
    # What is compressed less is not minded, however long it is.
    pieces = b"".join(NOISE[:300] + bytes(50_000) for _ in range(60))
    assert taken(compressed_frame(BINARY, deflated(pieces)), 64 * MEBIBYTE) == [(BINARY, pieces)]


def test_long_message_in_bytes_of_its_own_is_gathered_in_linear_time() -> None:
    # 150,000 frames: copied or decompressed anew for each this would take hours.
    data = deflated(NOISE * 30, level=0)
    message = compressed_message(BINARY, data, range(1, len(data)))
    assert taken(message) == [(BINARY, NOISE * 30)]


def test_much_that_is_decompressed_gives_others_their_turn() -> None:
    parser = InflatingParser(MEBIBYTE)
    parser.feed(compressed_frame(BINARY, deflated(bytes(60_000))) * 6 + client_frame(PING, b"?"))
    order = []
    while (message := parser.next()) is not None:
        order.append(message[0])
    assert order == [BINARY, BINARY, BINARY, PAUSE, BINARY, BINARY, BINARY, PAUSE, PING]


def test_parser_between_two_messages_holds_nothing_of_zlib() -> None:
    parser = InflatingParser(MEBIBYTE)
    parser.feed(compressed_frame(TEXT, deflated(LONG)) + compressed_message(TEXT, deflated(LONG), [2]))
    drain(parser)
    held = [getattr(parser, slot) for kind in (FrameParser, InflatingParser) for slot in kind.__slots__]
    assert all(value is None or isinstance(value, int) or value == b"" for value in held)
