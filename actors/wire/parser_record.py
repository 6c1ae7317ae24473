"""`ParserRecord`: what a frame parser holds, as plain values that go to another process with the socket.

Made and taken by `FrameParser`; no bytes of a transport are lost or parsed twice between the two.
"""

from __future__ import annotations

import msgspec

__all__ = ["ParserRecord"]


class ParserRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Bytes that the parser has not looked at, and the message that it has a part of."""

    rest: bytes = b""
    opcode: int = 0
    """Of the unfinished message; 0 for none."""
    is_last_frame: bool = False
    size_bytes: int = 0
    """Of the unfinished message, with all of the current frame."""
    missing_bytes: int = 0
    """Of the current frame's payload."""
    mask: bytes = b""
    """Of the current frame, turned to where its next byte is; empty between frames."""
    split_character: bytes = b""
    """The first bytes of a character whose rest is still to come."""
    content: bytes = b""
    """What has come of the message, unmasked."""
