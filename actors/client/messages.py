"""Frames as the messages of a socket: a codec's bytes are text where it says so, and for `websockets` text is `str`."""

from __future__ import annotations

from wspulse.actors.values.codec import Codec
from wspulse.actors.values.frame import Frame

__all__ = ["data_of", "message_of"]


def message_of(codec: Codec, frame: Frame) -> str | bytes:
    """What is to be sent. Raises what the codec raises."""
    data = codec.encode(frame)
    return data.decode() if codec.binary is False and isinstance(data, bytes) else data


def data_of(codec: Codec, message: str | bytes) -> bytes:
    """What the codec is to decode: bytes of either kind of message, but for a codec that keeps the kinds apart."""
    if codec.binary is None or isinstance(message, bytes):
        return message  # type: ignore[return-value]  # such a codec takes text as str
    return message.encode()
