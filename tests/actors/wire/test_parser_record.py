"""A frame parser that is moved: at whatever byte its stream is cut, what comes out behind that is the same."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.wire.frame_streams import client_frame, draw_stream
from wspulse.actors.values.errors import ProtocolError
from wspulse.actors.wire.frames import BINARY, CLOSE, CONTINUATION, PING, TEXT
from wspulse.actors.wire.framing import PAUSE, FrameParser
from wspulse.actors.wire.parser_record import ParserRecord

_Outcome = list[tuple[int, bytes] | int]


def _moved(parser: FrameParser, max_message_size: int) -> FrameParser:
    """By way of bytes, as between processes."""
    wire = msgspec.msgpack.encode(parser.record())
    return FrameParser.of(max_message_size, msgspec.msgpack.decode(wire, type=ParserRecord))


def _drain(parser: FrameParser, found: _Outcome, most: int = 1 << 30) -> None:
    for _ in range(most):
        message = parser.next()
        if message is None:
            return
        if message[0] != PAUSE:
            found.append(message)


def _outcome(reads: list[bytes], limit: int, *, moves_after: int | None = None, most: int = 1 << 30) -> _Outcome:
    """What comes of the reads; the parser is moved behind one of them, when so many of its messages were taken."""
    parser = FrameParser(limit)
    found: _Outcome = []
    try:
        for number, data in enumerate(reads):
            parser.feed(data)
            if number == moves_after:
                _drain(parser, found, most)
                if parser.ended:
                    # Such a transport says its last words, and stays.
                    continue
                parser = _moved(parser, limit)
            _drain(parser, found)
    except ProtocolError as error:
        found.append(error.close_code)
    return found


MESSAGES = b"".join(
    (
        client_frame(TEXT, "Übermäßig 🎈 lang".encode()),
        client_frame(PING, b"?"),
        client_frame(TEXT, "grö".encode()[:-1], fin=False),
        client_frame(PING, b"between"),
        client_frame(CONTINUATION, "grö".encode()[-1:] + "ßer 🎈".encode()),
        client_frame(BINARY, bytes(range(200))),
        client_frame(BINARY, bytes(300), fin=False),
        client_frame(CONTINUATION, b"", fin=False),
        client_frame(CONTINUATION, bytes(range(256)) * 258),
        client_frame(BINARY),
    )
)
BAD_UTF8 = client_frame(TEXT, "ab🎈".encode()[:4], fin=False) + client_frame(CONTINUATION, b"\xff")
TOO_BIG = client_frame(BINARY, bytes(30), fin=False) + client_frame(CONTINUATION, bytes(80_000))


@pytest.mark.parametrize(
    "data",
    [
        MESSAGES + client_frame(CLOSE, b"\x03\xe8bye") + b"more",
        MESSAGES[:400] + BAD_UTF8,
        BAD_UTF8,
        TOO_BIG,
        client_frame(CONTINUATION, b"of nothing"),
        client_frame(TEXT, b"a", fin=False) + client_frame(TEXT, b"begins inside"),
    ],
)
def test_parser_that_is_moved_at_any_byte_gives_what_one_that_stays_does(data: bytes) -> None:
    limit = 70_000
    expected = _outcome([data], limit)
    # Within the long payload every seventh byte does.
    for at in [*range(min(len(data), 2000)), *range(2000, len(data), 7)]:
        assert _outcome([data[:at], data[at:]], limit, moves_after=0) == expected, at


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 40), st.integers(0, 5))
def test_parser_that_is_moved_between_any_messages_gives_what_one_that_stays_does(
    seed: int, cut: int, most: int
) -> None:
    stream = draw_stream(Random(seed))
    reads = [bytes(read) for read in stream.reads]
    limit = stream.max_message_size
    expected = _outcome(reads, limit)
    assert _outcome(reads, limit, moves_after=cut % max(1, len(reads)), most=most) == expected


def test_message_that_has_begun_is_finished_where_less_is_allowed() -> None:
    parser = FrameParser(1000)
    data = client_frame(BINARY, bytes(900))
    parser.feed(data[:500])
    assert parser.next() is None
    moved = FrameParser.of(10, parser.record())
    moved.feed(data[500:] + client_frame(BINARY, bytes(11)))
    assert moved.next() == (BINARY, bytes(900))
    with pytest.raises(ProtocolError):
        moved.next()


def test_what_was_not_looked_at_is_moved_whatever_was_taken_before() -> None:
    parser = FrameParser(1000)
    frames = [client_frame(TEXT, b"%d" % number) for number in range(300)]
    parser.feed(b"".join(frames[:200]))
    parser.feed(b"".join(frames[200:]))
    for _ in range(150):
        parser.next()
    record = parser.record()
    assert record == ParserRecord(b"".join(frames[150:]))
    assert parser.next() == (TEXT, b"150")
