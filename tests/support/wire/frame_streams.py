"""Streams of WebSocket frames, good and bad, and what the frame parser and the websockets library make of them.

A stream is drawn from one `Random`, so that a failing one can be made again from its seed. The tests and
`scripts/parser-oracle` use this; the library's sans-I/O protocol is the oracle.
"""

from __future__ import annotations

from codecs import IncrementalDecoder, getincrementaldecoder
from collections.abc import Callable, Generator, Iterable, Sequence
from random import Random
from types import FunctionType
from typing import Any, NamedTuple

import websockets.protocol
from websockets.exceptions import ProtocolError as LibraryProtocolError
from websockets.frames import Frame, Opcode
from websockets.protocol import SERVER, Protocol

from wspulse.actors.values.errors import ProtocolError
from wspulse.actors.wire.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from wspulse.actors.wire.framing import PAUSE, FrameParser
from wspulse.actors.wire.unfinished_message import apply_mask

NOTHING_WRONG = 0
"""The close code of a verdict on a stream in which nothing is wrong so far."""

MASK = b"\x37\xfa\x21\x3d"


_MOST_HEADER_BYTES = 14


class Stream(NamedTuple):
    """Bytes as they come from a peer, one item per read."""

    reads: Sequence[bytes]
    max_message_size: int


class Verdict(NamedTuple):
    """What came out of a stream: messages and control frames, then the close code that it failed with."""

    messages: list[tuple[int, bytes]]
    close_code: int


def client_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
    size: int | None = None,
    size_bytes: int | None = None,
) -> bytes:
    """A frame as a client sends it, or should not: `size` is what the header claims, in `size_bytes` (0, 2 or 8)."""
    if size is None:
        size = len(payload)
    if size_bytes is None:
        size_bytes = 0 if size < 126 else 2 if size < 65536 else 8
    short_size = {0: size & 0x7F, 2: 126, 8: 127}[size_bytes]
    header = bytes((fin << 7 | rsv << 4 | opcode, (mask is not None) << 7 | short_size))
    header += size.to_bytes(8)[8 - size_bytes :]
    return header + (payload if mask is None else mask + apply_mask(payload, mask))


# What the two make of a stream.


def verdict_of_parser(stream: Stream, feeds_per_drain: int = 1) -> Verdict:
    """What `FrameParser` makes of it, asked for all it has after every so many reads.

    With 0 it is asked once after every read, as by a session that pauses for a slow handler.
    """
    parser = FrameParser(stream.max_message_size)
    messages: list[tuple[int, bytes]] = []
    last = len(stream.reads) - 1
    try:
        for number, read in enumerate(stream.reads):
            is_drained = number == last or (feeds_per_drain > 0 and (number + 1) % feeds_per_drain == 0)
            if not is_drained and feeds_per_drain:
                parser.feed(read)
                continue
            message = parser.take(read)
            while message is not None:
                if message[0] != PAUSE:
                    messages.append(message)
                message = parser.next() if is_drained else None
    except ProtocolError as error:
        return Verdict(messages, error.close_code)
    return Verdict(messages, NOTHING_WRONG)


def verdict_of_library(stream: Stream, *, ends_frame: bool = False) -> Verdict:
    """What the library makes of it, with `ends_frame` after filling the last, incomplete frame with zeros."""
    protocol = _OracleProtocol(SERVER, max_size=stream.max_message_size)
    assembly = _Assembly()
    for read in stream.reads:
        protocol.receive_data(read)
    try:
        assembly.add(protocol.events_received())
        if ends_frame:
            for _ in range(_MOST_HEADER_BYTES + max(stream.max_message_size, 125)):
                if protocol.parser_exc is not None or (events := protocol.events_received()):
                    break
                protocol.receive_data(b"\0")
            else:
                events = []
            assembly.add(events)
    except UnicodeDecodeError:
        return Verdict(assembly.messages, 1007)
    if protocol.parser_exc is None:
        return Verdict(assembly.messages, NOTHING_WRONG)
    assert protocol.close_sent is not None
    return Verdict(assembly.messages, protocol.close_sent.code)


def disagreement(stream: Stream, feeds_per_drain: int = 1) -> str | None:
    """How the parser and the library differ over a stream, None when they agree.

    They may differ in one way: the parser looks at a frame while it comes, the library when it is complete, so a stream
    that ends inside a bad frame is judged with that frame filled up.
    """
    ours = verdict_of_parser(stream, feeds_per_drain)
    theirs = verdict_of_library(stream)
    if ours.close_code and not theirs.close_code:
        theirs = verdict_of_library(stream, ends_frame=True)
    if ours == theirs:
        return None
    return f"{stream}\n  parser:  {ours}\n  library: {theirs}"


class _OracleFrame(Frame):
    """The library holds control frames to what is left of the message size, and looks at their size late; we do not."""

    @classmethod
    def parse(
        cls,
        read_exact: Callable[[int], Generator[None, None, bytes | bytearray]],
        *,
        mask: bool,
        max_size: int | None = None,
        extensions: Sequence[Any] | None = None,
    ) -> Generator[None, None, Frame]:
        head: bytes | bytearray = yield from read_exact(2)

        def read_exact_again(size: int) -> Generator[None, None, bytes | bytearray]:
            nonlocal head
            if head:
                result, head = head, b""
                return result
            return (yield from read_exact(size))

        if head[0] & 0x0F in (CLOSE, PING, PONG):
            max_size = None
            if head[1] >= 128 + 126:
                raise LibraryProtocolError("control frame too long")
        return (yield from Frame.parse(read_exact_again, mask=mask, max_size=max_size, extensions=extensions))


class _OracleProtocol(Protocol):
    # The library's own method, with another Frame.
    parse = FunctionType(Protocol.parse.__code__, {**vars(websockets.protocol), "Frame": _OracleFrame})

    def recv_frame(self, frame: Frame) -> None:
        # To the library a close frame inside a message is a violation; RFC 6455 §5.4 and Autobahn's case 7.1.5 allow it.
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)


class _Assembly:
    """Puts fragments together and decodes text fragment by fragment, as the library's connection objects do."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, bytes]] = []
        self._opcode = CONTINUATION
        self._fragments: list[bytes] = []
        self._decoder: IncrementalDecoder | None = None

    def add(self, events: Iterable[Any]) -> None:
        for frame in events:
            if frame.opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG):
                self.messages.append((int(frame.opcode), bytes(frame.data)))
                continue
            if frame.opcode is not Opcode.CONT:
                self._opcode = int(frame.opcode)
                self._fragments = []
                self._decoder = getincrementaldecoder("utf-8")() if frame.opcode is Opcode.TEXT else None
            self._fragments.append(bytes(frame.data))
            if self._decoder is not None:
                self._decoder.decode(self._fragments[-1], frame.fin)
                # Python takes the first two bytes of a surrogate for the beginning of something; they cannot be.
                pending = self._decoder.getstate()[0]
                if pending[:1] == b"\xed" and pending[1:] >= b"\xa0":
                    raise UnicodeDecodeError("utf-8", pending, 0, 2, "surrogate")
            if frame.fin:
                self.messages.append((self._opcode, b"".join(self._fragments)))


# Drawing a stream.

_SIZE_LIMITS = (1, 7, 64, 125, 126, 512, 512, 4096, 65535, 65536, 1 << 20, 1 << 20)

_TEXTS = tuple(
    text.encode()
    for text in (
        "",
        "a",
        "hello",
        "κόσμε",
        "é" * 40,
        "\N{GRINNING FACE}",
        "\x00",
        "\ud7ff\ue000\uffff\U0010ffff",
        "x" * 120,
        "€" * 50,
    )
)

_BAD_UTF8 = (
    b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xc3", b"\xe2\x82", b"\xe0\x80\x80", b"\xe0\x9f",
    b"\xed\xa0\x80", b"\xed\xbf", b"\xf0\x8f\xbf\xbf", b"\xf0\x9f\x98", b"\xf4\x90\x80\x80", b"\xf4\x90",
    b"\xf5", b"\xf8\x88\x80\x80\x80", b"\xfe", b"\xff", "κόσμε".encode() + b"\xed\xa0\x80edited",
)  # fmt: skip

_CLOSE_CODES = (
    0,
    999,
    1000,
    1001,
    1002,
    1003,
    1004,
    1005,
    1006,
    1007,
    1011,
    1012,
    1013,
    1014,
    1015,
    1016,
    1100,
    2000,
    2999,
)
_CLOSE_CODES_ABOVE = (3000, 3999, 4000, 4999, 5000, 65535)


def draw_stream(random: Random) -> Stream:
    """A stream of up to some ten frames: most of it valid, with one mistake or none, sometimes noise; cut anywhere."""
    limit = random.choice(_SIZE_LIMITS)
    if random.random() < 0.04:
        data = random.randbytes(random.randrange(40))
    else:
        data = b"".join(_draw_message(random, limit) for _ in range(random.randrange(1, 5)))
        if random.random() < 0.2:
            data += _draw_close(random) + random.randbytes(random.randrange(8))
        if random.random() < 0.2:
            data = _mutated(random, data)
    return Stream(_cut(random, data), limit)


def _draw_message(random: Random, limit: int) -> bytes:
    chance = random.random()
    if chance < 0.15:
        return _draw_ping(random)
    if chance < 0.27:
        return _draw_bad_frame(random, limit)
    opcode = random.choice((TEXT, TEXT, TEXT, BINARY))
    payload = _draw_payload(random, opcode, limit)
    if random.random() < 0.6:
        return client_frame(opcode, payload, mask=random.randbytes(4))
    return _fragmented(random, opcode, payload)


def _draw_payload(random: Random, opcode: int, limit: int) -> bytes:
    chance = random.random()
    if chance < 0.1:
        # At the limit, one below, one above, and where the header's form changes.
        size = max(0, random.choice((limit, 125, 126, 65535, 65536)) + random.randrange(-1, 2))
        return b"x" * min(size, 70000) if random.random() < 0.2 or size < 1000 else b"x"
    if opcode == BINARY:
        return random.randbytes(random.randrange(min(limit, 200) + 1))
    text = random.choice(_TEXTS) + random.choice(_TEXTS) if chance < 0.5 else random.choice(_TEXTS)
    return text + random.choice(_BAD_UTF8) + random.choice(_TEXTS) if random.random() < 0.1 else text


def _fragmented(random: Random, opcode: int, payload: bytes) -> bytes:
    parts = _cut(random, payload, most=4)
    pieces = []
    for number, part in enumerate(parts):
        is_last = number == len(parts) - 1
        pieces.append(
            client_frame(opcode if number == 0 else CONTINUATION, part, fin=is_last, mask=random.randbytes(4))
        )
        if random.random() < 0.15:
            pieces.append(_draw_ping(random) if random.random() < 0.9 else _draw_close(random))
    if random.random() < 0.05:
        del pieces[random.randrange(len(pieces))]
    return b"".join(pieces)


def _draw_ping(random: Random) -> bytes:
    size = random.choice((0, 1, 4, 4, 125))
    return client_frame(random.choice((PING, PONG)), random.randbytes(size), mask=random.randbytes(4))


def _draw_close(random: Random) -> bytes:
    chance = random.random()
    if chance < 0.3:
        return client_frame(CLOSE, random.choice((b"", b"\x03", b"\x03\xe8", b"\x03\xe8bye")))
    code = random.choice(_CLOSE_CODES + _CLOSE_CODES_ABOVE) if chance < 0.8 else random.randrange(65536)
    reason = random.choice((b"", b"bye", random.choice(_TEXTS), random.choice(_BAD_UTF8)))[:123]
    return client_frame(CLOSE, code.to_bytes(2) + reason)


def _draw_bad_frame(random: Random, limit: int) -> bytes:
    """A frame that breaks one rule, or bends one that the library does not mind."""
    opcode = random.choice((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))
    payload = b"x" * random.randrange(6)
    match random.randrange(8):
        case 0:
            return client_frame(opcode, payload, rsv=random.randrange(1, 8))
        case 1:
            return client_frame(random.choice((3, 4, 5, 6, 7, 11, 12, 13, 14, 15)), payload)
        case 2:
            return client_frame(opcode, payload, mask=None)
        case 3:
            return client_frame(random.choice((CLOSE, PING, PONG)), payload, fin=False)
        case 4:
            return client_frame(random.choice((CLOSE, PING, PONG)), b"x" * 126)
        case 5:
            return client_frame(opcode, payload, size_bytes=random.choice((2, 8)))
        case 6:
            return client_frame(
                opcode, payload, size=random.choice((limit + 1, 1 << 31, 1 << 62, 1 << 63, (1 << 64) - 1))
            )
        case _:
            return client_frame(CONTINUATION, payload, fin=random.random() < 0.5)


def _mutated(random: Random, data: bytes) -> bytes:
    if not data:
        return data
    at = random.randrange(len(data))
    match random.randrange(4):
        case 0:
            return data[:at] + bytes((data[at] ^ 1 << random.randrange(8),)) + data[at + 1 :]
        case 1:
            return data[:at] + data[at + 1 :]
        case 2:
            return data[:at] + random.randbytes(1) + data[at:]
        case _:
            return data[:at]


def _cut(random: Random, data: bytes, most: int = 8) -> list[bytes]:
    """The data in pieces: as one, byte by byte when it is short, or cut in up to `most` places."""
    chance = random.random()
    if chance < 0.3:
        return [data]
    if chance < 0.4 and len(data) < 300:
        return [data[at : at + 1] for at in range(len(data))] or [data]
    places = sorted(random.randrange(len(data) + 1) for _ in range(random.randrange(1, most)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
