"""`InflatingParser`: a frame parser for a client that may send compressed messages (RFC 7692 §6).

Made by a transport whose client has agreed on that. A compressed message is gathered as it comes, and decompressed when it is
complete: so what has come of it is bytes that can go to another process, and between two messages there is nothing.
"""

from __future__ import annotations

from typing import Final, NoReturn

from wspulse.actors.wire.compression.deflater import RSV1
from wspulse.actors.wire.compression.inflation import InflationError, inflated, most_compressed_bytes
from wspulse.actors.wire.frames import BINARY, CONTINUATION, NOT_UTF8, TEXT
from wspulse.actors.wire.framing import PAUSED, TOO_BIG, FrameParser
from wspulse.actors.wire.parser_record import ParserRecord
from wspulse.actors.wire.unfinished_message import UnfinishedMessage, apply_mask, is_utf8

__all__ = ["InflatingParser"]

_RESERVED = 0x70

_PAUSE_BYTES: Final = 128 * 1024
"""After so many decompressed bytes others have their turn, as after one full read of the socket."""


class InflatingParser(FrameParser):
    """See the module. The opcode of a compressed message has RSV1 set until that is decompressed, in records too.

    What is decompressed is bounded by `max_message_size`, and what has come of a compressed message by somewhat more.
    """

    __slots__ = ("_inflated_bytes", "_most_inflated_bytes")

    def __init__(self, max_message_size: int) -> None:
        super().__init__(max_message_size)
        self._most_inflated_bytes = max_message_size
        self._inflated_bytes = 0
        """Since the last pause."""

    @classmethod
    def of(cls, max_message_size: int, record: ParserRecord) -> FrameParser:
        parser = super().of(max_message_size, record)
        if record.opcode & RSV1:
            parser._max_message_size = most_compressed_bytes(max_message_size)
        return parser

    def next(self) -> tuple[int, bytes] | None:
        """As of every parser; PAUSE comes after much that was decompressed too. A message that cannot be decompressed fails with
        1007, one that would be too big with 1009."""
        rest = self.rest
        if not rest:
            return None
        if self._inflated_bytes >= _PAUSE_BYTES:
            self._inflated_bytes = 0
            return PAUSED
        if self._unfinished is None and self._may_begin_compressed(rest[self._position]):
            message = self._begin_compressed()
        else:
            message = super().next()
        if message is None or not message[0] & RSV1:
            return message
        return self._inflate(message[0] & ~RSV1, message[1])

    def _may_begin_compressed(self, first: int) -> bool:
        return first & _RESERVED == RSV1 and CONTINUATION < first & 0x0F <= BINARY

    def _begin_compressed(self) -> tuple[int, bytes] | None:
        """The first frame of a compressed message: its bound is another one until it is complete."""
        self._max_message_size = most_compressed_bytes(self._most_inflated_bytes)
        header = self._header(None)
        if header is None:
            self._wait()
            return None
        first, size, payload_at = header
        opcode = first & (RSV1 | 0x0F)
        mask = bytes(self.rest[payload_at - 4 : payload_at])
        end = payload_at + size
        is_last_frame = first >= 0x80
        if is_last_frame and end <= len(self.rest):
            payload = apply_mask(self.rest[payload_at:end], mask)
            self._consume(end)
            return (opcode, payload)
        message = self._unfinished = UnfinishedMessage(opcode, is_text=False)
        message.begin_frame(size, mask, is_last_frame)
        self._consume(payload_at)
        return self._next_frame()

    def _inflate(self, opcode: int, data: bytes) -> tuple[int, bytes]:
        limit = self._max_message_size = self._most_inflated_bytes
        try:
            payload = inflated(data, limit)
        except InflationError as error:
            self._fail(TOO_BIG if error.is_too_big else NOT_UTF8, error.reason, error.size_bytes)
        self._inflated_bytes += len(payload)
        if opcode == TEXT and not payload.isascii() and not is_utf8(payload):
            self._fail(NOT_UTF8, "text is not UTF-8")
        return (opcode, payload)

    def _too_big(self, message_bytes: int) -> NoReturn:
        limit = self._max_message_size
        if limit == self._most_inflated_bytes:
            super()._too_big(message_bytes)
        self._fail(TOO_BIG, f"compressed message is over {limit} bytes", message_bytes)
