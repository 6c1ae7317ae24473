"""The frame parser by hand-picked cases; test_framing_oracle.py and test_framing_cost.py have the rest."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from websockets.utils import apply_mask as pure_apply_mask

from tests.support.wire.frame_streams import client_frame
from wspulse.actors.values.errors import ProtocolError
from wspulse.actors.wire import framing, unfinished_message
from wspulse.actors.wire.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    encode_close,
    encode_frame,
    parse_close,
)
from wspulse.actors.wire.framing import FrameParser

MEBIBYTE = 1 << 20


def drain(parser: FrameParser) -> list[tuple[int, bytes]]:
    messages = []
    while (message := parser.next()) is not None:
        messages.append(message)
    return messages


def parse(*reads: bytes, limit: int = MEBIBYTE) -> list[tuple[int, bytes]]:
    """All messages, drained after every read."""
    parser = FrameParser(limit)
    messages = []
    for read in reads:
        parser.feed(read)
        messages += drain(parser)
    return messages


def failure(*reads: bytes, limit: int = MEBIBYTE) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        parse(*reads, limit=limit)
    return caught.value


def bytewise(data: bytes) -> Iterable[bytes]:
    return (data[at : at + 1] for at in range(len(data)))


# Messages.


@pytest.mark.parametrize("size", [0, 1, 2, 100, 125, 126, 127, 128, 65535, 65536, 70000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_message_of_any_size_comes_out_whole_however_it_is_cut(opcode: int, size: int) -> None:
    payload = bytes(b"abcdefg"[at % 7] for at in range(size))
    data = client_frame(opcode, payload)
    expected = [(opcode, payload)]
    assert parse(data) == expected
    assert parse(data + data) == expected * 2
    assert parse(data[:1], data[1:]) == expected
    assert parse(data[:5], data[5:9], data[9:]) == expected
    assert parse(data[:-1], data[-1:]) == expected
    if size < 1000:
        assert parse(*bytewise(data)) == expected


def test_payload_is_bytes_whatever_buffer_it_was_cut_from() -> None:
    parser = FrameParser(MEBIBYTE)
    data = client_frame(BINARY, b"x" * 300)
    for _ in range(3):
        parser.feed(data)
    parser.feed(client_frame(PING, b"p"))
    assert [type(payload) for _, payload in drain(parser)] == [bytes] * 4


def test_many_messages_in_one_read_come_in_order() -> None:
    frames = [client_frame(TEXT, str(number).encode()) for number in range(1000)]
    assert parse(b"".join(frames)) == [(TEXT, str(number).encode()) for number in range(1000)]


def test_reads_fed_before_parsing_are_parsed_as_one() -> None:
    data = b"".join(client_frame(TEXT, b"x" * size) for size in range(200))
    for reads_per_call in (1, 3, 10, 1000):
        parser = FrameParser(MEBIBYTE)
        messages = []
        for number, start in enumerate(range(0, len(data), 97)):
            parser.feed(data[start : start + 97])
            # One call, not until None: what a session does that has paused its socket for a slow handler.
            if number % reads_per_call == 0 and (message := parser.next()) is not None:
                messages.append(message)
        assert messages + drain(parser) == [(TEXT, b"x" * size) for size in range(200)]


def test_fragments_come_out_as_one_message_with_control_frames_between_them_first() -> None:
    data = (
        client_frame(TEXT, b"one ", fin=False)
        + client_frame(PING, b"ping")
        + client_frame(CONTINUATION, b"two ", fin=False)
        + client_frame(CONTINUATION, b"", fin=False)
        + client_frame(PONG, b"pong")
        + client_frame(CONTINUATION, b"three")
    )
    expected = [(PING, b"ping"), (PONG, b"pong"), (TEXT, b"one two three")]
    assert parse(data) == expected
    assert parse(*bytewise(data)) == expected


def test_fragments_that_are_all_empty_make_an_empty_message() -> None:
    assert parse(client_frame(BINARY, fin=False) + client_frame(CONTINUATION)) == [(BINARY, b"")]


def test_size_in_a_longer_form_than_needed_is_accepted() -> None:
    assert parse(client_frame(TEXT, b"hi", size_bytes=2)) == [(TEXT, b"hi")]
    assert parse(client_frame(TEXT, b"hi", size_bytes=8)) == [(TEXT, b"hi")]
    # As long as a frame of 126 bytes in the short form would be, if there were one.
    assert parse(client_frame(TEXT, b"x" * 124, size_bytes=2)) == [(TEXT, b"x" * 124)]


def test_mask_of_zeros_is_a_mask() -> None:
    data = client_frame(TEXT, b"hello", mask=bytes(4))
    assert parse(data) == [(TEXT, b"hello")]
    assert parse(*bytewise(data)) == [(TEXT, b"hello")]


def test_parser_without_compiled_unmasking_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (framing, unfinished_message):
        monkeypatch.setattr(module, "apply_mask", pure_apply_mask)
    data = client_frame(TEXT, "κόσμε".encode()) + client_frame(BINARY, b"x" * 300) + client_frame(PING)
    expected = [(TEXT, "κόσμε".encode()), (BINARY, b"x" * 300), (PING, b"")]
    assert parse(data) == expected
    assert parse(*bytewise(data)) == expected


# Violations.


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_unknown_opcode_is_1002(opcode: int) -> None:
    assert failure(client_frame(opcode)).close_code == 1002


@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE])
def test_reserved_bit_is_1002(opcode: int, rsv: int) -> None:
    assert failure(client_frame(opcode, rsv=rsv)).close_code == 1002


@pytest.mark.parametrize("opcode", [TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG])
def test_unmasked_frame_is_1002(opcode: int) -> None:
    assert failure(client_frame(opcode, b"hello", mask=None)).close_code == 1002


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_control_frame_that_is_fragmented_or_over_125_bytes_is_1002(opcode: int) -> None:
    assert failure(client_frame(opcode, fin=False)).close_code == 1002
    assert failure(client_frame(opcode, b"x" * 126)).close_code == 1002
    assert failure(client_frame(opcode, b"x" * 70000)).close_code == 1002


def test_continuation_of_nothing_is_1002() -> None:
    assert failure(client_frame(CONTINUATION, b"x")).close_code == 1002
    assert failure(client_frame(TEXT, b"x") + client_frame(CONTINUATION, b"x", fin=False)).close_code == 1002


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_message_that_begins_inside_another_is_1002(opcode: int) -> None:
    assert failure(client_frame(TEXT, b"x", fin=False) + client_frame(opcode, b"x")).close_code == 1002


def test_violation_shows_with_the_header_before_any_payload() -> None:
    assert failure(client_frame(TEXT, size=100, rsv=4)[:2]).close_code == 1002
    assert failure(client_frame(PING, size=126)[:2]).close_code == 1002
    assert failure(client_frame(PING, size=10, fin=False)[:2]).close_code == 1002


def test_messages_before_a_violation_come_out_first() -> None:
    parser = FrameParser(MEBIBYTE)
    parser.feed(client_frame(TEXT, b"good") + client_frame(PING) + client_frame(3))
    assert parser.next() == (TEXT, b"good")
    assert parser.next() == (PING, b"")
    with pytest.raises(ProtocolError):
        parser.next()


def test_failed_parser_raises_the_same_for_ever_and_keeps_nothing_it_is_fed() -> None:
    parser = FrameParser(MEBIBYTE)
    parser.feed(client_frame(TEXT, b"\xff"))
    errors = []
    for _ in range(3):
        with pytest.raises(ProtocolError) as caught:
            parser.next()
        errors.append((caught.value.close_code, caught.value.reason))
        parser.feed(client_frame(TEXT, b"good"))
        assert parser.leftover_bytes == 0
    assert set(errors) == {(1007, errors[0][1])}


# Size.


def test_message_of_exactly_the_limit_passes_and_one_byte_more_is_1009() -> None:
    for limit in (1, 100, 125, 126, 512, 65535, 65536):
        assert parse(client_frame(BINARY, b"x" * limit), limit=limit) == [(BINARY, b"x" * limit)]
        assert failure(client_frame(BINARY, b"x" * (limit + 1)), limit=limit).close_code == 1009


@pytest.mark.parametrize("size", [513, 70000, 1 << 31, 1 << 62, 1 << 63, (1 << 64) - 1])
def test_size_over_the_limit_is_1009_before_the_payload_comes(size: int) -> None:
    header = client_frame(BINARY, size=size)[:-4]
    assert failure(header, limit=512).close_code == 1009
    assert failure(*bytewise(header), limit=512).close_code == 1009


def test_fragments_over_the_limit_are_1009_at_the_header_that_says_so() -> None:
    fragments = client_frame(BINARY, b"x" * 300, fin=False), client_frame(CONTINUATION, b"x" * 212, fin=False)
    assert parse(*fragments, client_frame(CONTINUATION), limit=512) == [(BINARY, b"x" * 512)]
    assert failure(*fragments, client_frame(CONTINUATION, size=1)[:2], limit=512).close_code == 1009


def test_control_frame_does_not_count_as_message_size() -> None:
    ping = client_frame(PING, b"x" * 125)
    assert parse(ping, limit=1) == [(PING, b"x" * 125)]
    data = client_frame(BINARY, b"x", fin=False) + ping + client_frame(CONTINUATION)
    assert parse(data, limit=1) == [(PING, b"x" * 125), (BINARY, b"x")]


# UTF-8.

BAD_UTF8 = [
    b"\x80",
    b"\xc0\x80",
    b"\xc3",
    b"\xe2\x82",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xf5",
    b"\xff",
    b"a\xe9",
]


@pytest.mark.parametrize("bad", BAD_UTF8)
def test_text_that_is_no_utf8_is_1007_and_binary_does_not_mind(bad: bytes) -> None:
    for payload in (bad, b"x" * 10 + bad, b"x" * 130 + bad, b"x" * 70000 + bad):
        data = client_frame(TEXT, payload)
        assert failure(data).close_code == 1007
        assert failure(data[:10], data[10:]).close_code == 1007
        assert parse(client_frame(BINARY, payload)) == [(BINARY, payload)]


def test_character_split_over_fragments_is_whole() -> None:
    text = "κόσμε\N{GRINNING FACE}".encode()
    fragments = [client_frame(CONTINUATION if at else TEXT, text[at : at + 1], fin=False) for at in range(len(text))]
    assert parse(*fragments, client_frame(CONTINUATION)) == [(TEXT, text)]
    assert parse(*bytewise(b"".join(fragments)), client_frame(CONTINUATION)) == [(TEXT, text)]


def test_text_that_ends_inside_a_character_is_1007_at_its_last_fragment() -> None:
    begun = client_frame(TEXT, b"\xe2\x82", fin=False)
    assert parse(begun) == []
    assert failure(begun, client_frame(CONTINUATION)).close_code == 1007


def test_bad_byte_is_1007_in_the_fragment_where_it_stands() -> None:
    assert failure(client_frame(TEXT, b"good \xff", fin=False)).close_code == 1007
    # U+110000 and a surrogate are impossible from their second byte on.
    assert failure(client_frame(TEXT, b"\xf4\x90", fin=False)).close_code == 1007
    assert failure(client_frame(TEXT, b"\xed\xa0", fin=False)).close_code == 1007


def test_bad_byte_is_1007_in_the_read_where_it_stands() -> None:
    frame = client_frame(TEXT, b"x" * 50 + b"\xff" + b"x" * 50)
    assert parse(frame[:56]) == []
    assert failure(frame[:57]).close_code == 1007
    assert failure(client_frame(TEXT, b"\xff", size=60000)).close_code == 1007


# Close frames.

ALLOWED_CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
FORBIDDEN_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]


@pytest.mark.parametrize("code", ALLOWED_CODES)
def test_close_frame_with_an_allowed_code_comes_out(code: int) -> None:
    payload = code.to_bytes(2) + "größer".encode()
    assert parse(client_frame(CLOSE, payload)) == [(CLOSE, payload)]
    assert parse_close(payload) == (code, "größer")


@pytest.mark.parametrize("code", FORBIDDEN_CODES)
def test_close_frame_with_a_forbidden_code_is_1002(code: int) -> None:
    assert failure(client_frame(CLOSE, code.to_bytes(2))).close_code == 1002


def test_empty_close_frame_means_1005() -> None:
    assert parse(client_frame(CLOSE)) == [(CLOSE, b"")]
    assert parse_close(b"") == (1005, "")


def test_close_frame_of_one_byte_is_1002() -> None:
    assert failure(client_frame(CLOSE, b"\x03")).close_code == 1002


def test_close_reason_that_is_no_utf8_is_1007() -> None:
    assert failure(client_frame(CLOSE, b"\x03\xe8\xff")).close_code == 1007


def test_close_frame_inside_a_message_comes_out_and_the_message_never() -> None:
    data = client_frame(TEXT, b"x", fin=False) + client_frame(CLOSE, b"\x03\xe8") + client_frame(CONTINUATION)
    assert parse(data) == [(CLOSE, b"\x03\xe8")]


def test_what_follows_a_close_frame_is_discarded() -> None:
    parser = FrameParser(MEBIBYTE)
    parser.feed(client_frame(CLOSE) + client_frame(TEXT, b"late") + b"\xff\xff")
    assert parser.next() == (CLOSE, b"")
    parser.feed(client_frame(3))
    assert parser.next() is None
    assert parser.leftover_bytes == 0


def test_leftover_counts_bytes_that_are_not_parsed() -> None:
    parser = FrameParser(MEBIBYTE)
    assert parser.leftover_bytes == 0
    frame = client_frame(TEXT, b"hello")
    parser.feed(frame + frame)
    assert parser.leftover_bytes == 2 * len(frame)
    parser.next()
    assert parser.leftover_bytes == len(frame)
    parser.feed(b"\x81")
    assert parser.leftover_bytes == len(frame) + 1
    drain(parser)
    assert parser.leftover_bytes == 1


# Encoding.


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65535, b"\x81\x7e\xff\xff"),
        (65536, b"\x81\x7f" + (65536).to_bytes(8)),
    ],
)
def test_encoded_frame_has_the_shortest_header(size: int, header: bytes) -> None:
    assert encode_frame(TEXT, b"x" * size) == header + b"x" * size


def test_encoded_frame_has_its_opcode() -> None:
    for opcode in (TEXT, BINARY, CLOSE, PING, PONG):
        assert encode_frame(opcode, b"x") == bytes((0x80 | opcode, 1)) + b"x"


def test_encoded_control_frame_over_125_bytes_is_refused() -> None:
    assert len(encode_frame(PONG, b"x" * 125)) == 127
    with pytest.raises(ValueError, match="126 bytes"):
        encode_frame(PONG, b"x" * 126)


def test_encoded_close_carries_code_and_reason() -> None:
    assert encode_close(1000) == b"\x88\x02\x03\xe8"
    assert encode_close(1001, "server shutting down") == b"\x88\x16\x03\xe9server shutting down"


def test_encoded_close_without_a_code_is_empty() -> None:
    assert encode_close(1005) == b"\x88\x00"


def test_encoded_close_cuts_a_long_reason_between_characters() -> None:
    code, reason = parse_close(encode_close(1011, "x" * 122 + "é")[2:])
    assert (code, reason) == (1011, "x" * 122)
    assert len(encode_close(1011, "x" * 500)) == 127
