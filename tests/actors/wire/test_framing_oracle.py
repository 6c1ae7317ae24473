"""The frame parser against the websockets library: the same messages and the same close code out of any bytes.

`scripts/parser-oracle` runs the drawn streams a million times over.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.wire.frame_streams import Stream, client_frame, disagreement
from tests.support.wire.parser_oracle import disagreement_of_seed
from wspulse.actors.wire.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT

SIZE_LIMITS = st.sampled_from((1, 20, 125, 126, 512, 65536, 1 << 20))

TEXTS = st.text(max_size=200).map(str.encode)
ALMOST_TEXTS = st.builds(
    lambda text, at, bad: text[: at % (len(text) + 1)] + bad + text[at % (len(text) + 1) :],
    TEXTS,
    st.integers(0, 200),
    st.binary(max_size=4),
)
PAYLOADS = TEXTS | ALMOST_TEXTS | st.binary(max_size=140) | st.integers(65530, 65540).map(bytes)

CLOSE_PAYLOADS = st.builds(
    lambda code, reason: code.to_bytes(2) + reason, st.integers(0, 65535) | st.integers(990, 1020), TEXTS | ALMOST_TEXTS
).map(lambda payload: payload[:125]) | st.binary(max_size=2)

MASKS = st.binary(min_size=4, max_size=4)


def frames(opcodes: st.SearchStrategy[int], payloads: st.SearchStrategy[bytes], fin: bool) -> st.SearchStrategy[bytes]:
    return st.builds(
        lambda opcode, payload, mask: client_frame(opcode, payload, fin=fin, mask=mask), opcodes, payloads, MASKS
    )


CONTROL_FRAMES = frames(st.sampled_from((PING, PONG)), st.binary(max_size=126), True)
CLOSE_FRAMES = frames(st.just(CLOSE), CLOSE_PAYLOADS, True)
WHOLE_MESSAGES = frames(st.sampled_from((TEXT, TEXT, BINARY)), PAYLOADS, True)


@st.composite
def fragmented_messages(draw: st.DrawFn) -> bytes:
    """A message in fragments, with control frames between them."""
    payload = draw(PAYLOADS)
    places = sorted(draw(st.lists(st.integers(0, len(payload)), min_size=1, max_size=5)))
    data = b""
    for number, (start, end) in enumerate(zip([0, *places], [*places, len(payload)], strict=True)):
        opcode = CONTINUATION if number else draw(st.sampled_from((TEXT, BINARY)))
        data += client_frame(opcode, payload[start:end], fin=number == len(places), mask=draw(MASKS))
        data += draw(st.just(b"") | CONTROL_FRAMES)
    return data


ANY_FRAMES = st.builds(
    lambda opcode, payload, fin, rsv, mask, size: client_frame(
        opcode, payload, fin=fin, rsv=rsv, mask=mask, size=None if size is None else size % 2**64
    ),
    st.integers(0, 15),
    PAYLOADS,
    st.booleans(),
    st.integers(0, 7),
    MASKS | st.none(),
    st.none() | st.integers(0, 140) | st.integers(65000, 2**64 - 1),
)

STREAM_PARTS = (
    WHOLE_MESSAGES | fragmented_messages() | CONTROL_FRAMES | CLOSE_FRAMES | ANY_FRAMES | st.binary(max_size=20)
)


@st.composite
def streams(draw: st.DrawFn, data: st.SearchStrategy[bytes]) -> Stream:
    """The bytes, some of them changed, cut anywhere."""
    received = bytearray(draw(data))
    if received:
        for _ in range(draw(st.sampled_from((0, 0, 0, 1, 2)))):
            received[draw(st.integers(0, len(received) - 1))] = draw(st.integers(0, 255))
    places = sorted(draw(st.lists(st.integers(0, len(received)), max_size=8)))
    reads = [bytes(received[start:end]) for start, end in zip([0, *places], [*places, len(received)], strict=True)]
    return Stream(reads, draw(SIZE_LIMITS))


@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
@given(streams(st.lists(STREAM_PARTS, max_size=6).map(b"".join)), st.integers(0, 3))
def test_stream_of_frames_is_read_as_the_library_reads_it(stream: Stream, feeds_per_drain: int) -> None:
    assert disagreement(stream, feeds_per_drain) is None


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(streams(st.binary(max_size=300)))
def test_stream_of_noise_is_read_as_the_library_reads_it(stream: Stream) -> None:
    assert disagreement(stream) is None


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STREAM_PARTS, max_size=3).map(b"".join).filter(lambda data: len(data) < 2000), SIZE_LIMITS)
def test_stream_that_drips_is_read_as_the_library_reads_it(data: bytes, limit: int) -> None:
    assert disagreement(Stream([data[at : at + 1] for at in range(len(data))], limit)) is None


@pytest.mark.parametrize("limit", [1, 512])
@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_fragmented_control_frame_of_which_only_the_beginning_came_is_read_alike(opcode: int, limit: int) -> None:
    for size in range(126):
        assert disagreement(Stream([bytes((opcode, 128 + size))], limit)) is None


@pytest.mark.parametrize("first_seed", range(0, 20_000, 4_000))
def test_drawn_streams_are_read_as_the_library_reads_them(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + 4_000):
        assert disagreement_of_seed(seed) is None, f"seed {seed}"
