"""A message that comes in parts: unmasked, checked and gathered part by part.

Made by the frame parser when a frame is a fragment or not here as a whole; gone when the message is complete.
"""

from __future__ import annotations

from codecs import utf_8_decode
from io import BytesIO

from wspulse.actors.wire.frames import TEXT
from wspulse.actors.wire.parser_record import ParserRecord

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform for which websockets has no compiled part
    from websockets.utils import apply_mask

__all__ = ["UnfinishedMessage", "apply_mask", "is_utf8"]


class UnfinishedMessage:
    """A message of which a frame, or a part of a frame, is still to come."""

    __slots__ = ("_buffer", "_is_text", "_split_character", "is_last_frame", "mask", "missing_bytes", "opcode", "size")

    def __init__(self, opcode: int, *, is_text: bool) -> None:
        self.opcode = opcode
        self._is_text = is_text
        self.size = 0
        """With all of the current frame."""
        self.is_last_frame = False
        self.missing_bytes = 0
        """Of the current frame's payload."""
        self.mask = b""
        """Of the current frame, turned to where its next byte is; empty between frames."""
        self._split_character = b""
        """The first bytes of a character whose rest is in the next part."""
        # getvalue() hands its buffer out without a copy; a list of parts would cost 40 bytes for each byte of a drip.
        self._buffer = BytesIO()

    @classmethod
    def of(cls, record: ParserRecord) -> UnfinishedMessage:
        """One that goes on where that which made the record was."""
        message = cls(record.opcode, is_text=record.opcode == TEXT)
        message.size = record.size_bytes
        message.is_last_frame = record.is_last_frame
        message.missing_bytes = record.missing_bytes
        message.mask = record.mask
        message._split_character = record.split_character
        message._buffer.write(record.content)
        return message

    def record(self, rest: bytes) -> ParserRecord:
        """What `of` makes its like from; `rest` are the bytes that follow."""
        return ParserRecord(
            rest,
            self.opcode,
            self.is_last_frame,
            self.size,
            self.missing_bytes,
            self.mask,
            self._split_character,
            self._buffer.getvalue(),
        )

    def begin_frame(self, size: int, mask: bytes, is_last_frame: bool) -> None:
        self.size += size
        self.missing_bytes = size
        self.mask = mask
        self.is_last_frame = is_last_frame

    def add_part(self, masked: bytes | bytearray) -> bool:
        """Append a part of the current frame's payload. False when it cannot be part of a UTF-8 text."""
        part = apply_mask(masked, self.mask)
        self._buffer.write(part)
        self.missing_bytes -= len(part)
        if self.missing_bytes:
            turn = len(part) & 3
            self.mask = self.mask[turn:] + self.mask[:turn]
        else:
            self.mask = b""
        return not self._is_text or (not self._split_character and part.isascii()) or self._is_utf8_so_far(part)

    def _is_utf8_so_far(self, part: bytes) -> bool:
        text = self._split_character + part
        try:
            _, valid_bytes = utf_8_decode(text, "strict", self.is_last_frame and not self.missing_bytes)
        except UnicodeDecodeError:
            return False
        split = self._split_character = text[valid_bytes:]
        # Of a surrogate Python waits for the third byte (an error handler may want it); two tell.
        return len(split) < 2 or split[0] != 0xED or split[1] < 0xA0

    def content(self) -> bytes:
        return self._buffer.getvalue()


def is_utf8(data: bytes) -> bool:
    """Whether the bytes are a whole UTF-8 text."""
    try:
        utf_8_decode(data, "strict", True)
    except UnicodeDecodeError:
        return False
    return True
