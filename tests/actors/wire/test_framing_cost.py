"""What the frame parser may cost: memory while idle, copies while busy. Time is bounded by the tests' timeout."""

from __future__ import annotations

import sys

import pytest

from tests.support.wire.frame_streams import client_frame
from wspulse.actors.wire.frames import BINARY, CONTINUATION, TEXT
from wspulse.actors.wire.framing import PAUSE, FrameParser

MEBIBYTE = 1 << 20


def drain(parser: FrameParser) -> list[tuple[int, bytes]]:
    messages = []
    while (message := parser.next()) is not None:
        messages.append(message)
    return messages


def test_idle_parser_is_small_and_holds_no_read() -> None:
    parser = FrameParser(MEBIBYTE)
    read = client_frame(TEXT, b"x" * 100) * 600
    references = sys.getrefcount(read)
    parser.feed(read)
    drain(parser)
    assert sys.getrefcount(read) == references
    parser.feed(read + b"\x81")
    drain(parser)
    assert sum(sys.getsizeof(getattr(parser, slot)) for slot in FrameParser.__slots__) < 200
    assert sys.getsizeof(parser) <= 64


def test_many_frames_in_one_read_are_cut_without_copying_the_rest_each_time() -> None:
    # 150,000 frames in one read of 4 MB: copied for each frame this would move 300 GB, and run into the timeout.
    parser = FrameParser(MEBIBYTE)
    parser.feed(client_frame(TEXT, b"x" * 20) * 150_000)
    assert len(drain(parser)) == 150_000


def test_reads_fed_without_parsing_are_gathered_in_one_growing_buffer() -> None:
    parser = FrameParser(64 * MEBIBYTE)
    frame = client_frame(BINARY, bytes(16 * MEBIBYTE))
    # 4,096 reads of 4 KiB: copied each time this would move 32 GiB, and run into the timeout.
    for start in range(0, len(frame), 4096):
        parser.feed(frame[start : start + 4096])
    ((_, payload),) = drain(parser)
    assert payload == bytes(16 * MEBIBYTE)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_message_of_64_mib_comes_in_64_kib_reads(opcode: int) -> None:
    size = 64 * MEBIBYTE
    frame = client_frame(opcode, bytes(size))
    parser = FrameParser(size)
    for start in range(0, len(frame), 65536):
        assert parser.next() is None
        parser.feed(frame[start : start + 65536])
    assert parser.next() == (opcode, bytes(size))


def test_message_of_many_small_fragments_comes_in_64_kib_reads() -> None:
    fragment = client_frame(CONTINUATION, b"x" * 10, fin=False)
    data = client_frame(TEXT, fin=False) + fragment * 100_000 + client_frame(CONTINUATION)
    parser = FrameParser(MEBIBYTE)
    for start in range(0, len(data), 65536):
        assert {opcode for opcode, _ in drain(parser)} <= {PAUSE}
        parser.feed(data[start : start + 65536])
    assert drain(parser)[-1] == (TEXT, b"x" * 1_000_000)


def test_many_fragments_in_one_read_are_gathered_with_pauses() -> None:
    parser = FrameParser(MEBIBYTE)
    fragments = 1000
    parser.feed(
        client_frame(BINARY, b"", fin=False)
        + client_frame(CONTINUATION, b"x", fin=False) * fragments
        + client_frame(CONTINUATION, b"")
    )
    came = drain(parser)
    assert came[-1] == (BINARY, b"x" * fragments)
    assert came[:-1] == [(16, b"")] * 7


def test_message_that_drips_byte_by_byte_keeps_no_object_per_byte() -> None:
    size = 200_000
    frame = client_frame(TEXT, b"x" * size)
    parser = FrameParser(size)
    for at in range(len(frame) - 1):
        parser.feed(frame[at : at + 1])
        assert parser.next() is None
        assert parser.leftover_bytes <= 14
    parser.feed(frame[-1:])
    assert parser.next() == (TEXT, b"x" * size)
