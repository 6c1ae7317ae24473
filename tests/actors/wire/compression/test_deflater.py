"""What the server's frames become for transports that compress, and how often that is made."""

from __future__ import annotations

import random

import pytest

from tests.support.wire.compressed import messages_in
from wspulse.actors.wire.compression.deflater import Deflater
from wspulse.actors.wire.frames import BINARY, CLOSE, PING, PONG, TEXT, encode_close, encode_frame

LONG = b'{"event":"chat","payload":"' + b"abcdefgh" * 200 + b'"}'
NOISE = random.Random(1).randbytes(3000)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", [256, 300, 65535, 65536, 200_000])
def test_long_message_is_sent_compressed(opcode: int, size: int) -> None:
    content = (LONG * (size // len(LONG) + 1))[:size]
    wire = Deflater(15).compressed(encode_frame(opcode, content))
    assert messages_in(wire) == [(opcode, content, True)]
    assert len(wire) < size / 4


@pytest.mark.parametrize("size", [0, 125, 126, 255])
def test_short_message_is_sent_as_it_is(size: int) -> None:
    wire = encode_frame(TEXT, b"x" * size)
    assert Deflater(15).compressed(wire) is wire


def test_message_that_does_not_become_shorter_is_sent_as_it_is() -> None:
    wire = encode_frame(BINARY, NOISE)
    assert Deflater(15).compressed(wire) is wire


def test_frames_that_are_written_together_keep_their_order_and_each_its_own_form() -> None:
    messages = [
        (PING, b"?" * 8),
        (TEXT, b"short"),
        (TEXT, LONG),
        (BINARY, NOISE),
        (TEXT, LONG),
        (BINARY, LONG * 2),
        (PONG, b"x" * 125),
        (TEXT, b"y" * 255),
    ]
    wire = b"".join(encode_frame(*message) for message in messages) + encode_close(1000, "bye")
    found = messages_in(Deflater(15).compressed(wire))
    assert [message[:2] for message in found] == [*messages, (CLOSE, b"\x03\xe8bye")]
    assert [is_compressed for _, _, is_compressed in found] == [
        False,
        False,
        True,
        False,
        True,
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize("window_bits", range(9, 16))
def test_client_finds_everything_within_the_window_that_it_offered(window_bits: int) -> None:
    # What comes again does so at every distance from 100 bytes to 60,000.
    noise = random.Random(2).randbytes(20_000)
    content = noise[:500] + noise[:400] + noise + noise[:600] + noise + LONG * 3
    wire = Deflater(window_bits).compressed(encode_frame(BINARY, content) + encode_frame(TEXT, LONG))
    assert messages_in(wire, window_bits) == [(BINARY, content, True), (TEXT, LONG, True)]


def test_same_frames_are_compressed_once_for_all_who_get_them() -> None:
    deflater = Deflater(15)
    wire, other = encode_frame(TEXT, LONG), encode_frame(TEXT, LONG * 2)
    first = deflater.compressed(wire)
    # A short frame in between, as a room's other members may cause, is nothing to it.
    deflater.compressed(encode_frame(TEXT, b"short"))
    assert deflater.compressed(wire) is first
    assert messages_in(deflater.compressed(other)) == [(TEXT, LONG * 2, True)]
    assert messages_in(deflater.compressed(wire)) == [(TEXT, LONG, True)]
