"""Frames as the messages of a socket: a codec's bytes are text where it says so, and for `websockets` text is `str`."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from wspulse.actors.values.codec import Codec, JSONCodec, MsgpackCodec
from wspulse.actors.values.frame import Frame, MsgpackFrame, told_room
from wspulse.actors.values.text.lone_surrogates import read_with_lone_surrogates

__all__ = ["Read", "data_of", "message_of", "reader_of"]

Read = Callable[[bytes], Frame]


def message_of(codec: Codec, frame: Frame) -> str | bytes:
    """What is to be sent. Raises what the codec raises."""
    data = codec.encode(frame)
    return data.decode() if codec.binary is False and isinstance(data, bytes) else data


def data_of(codec: Codec, message: str | bytes) -> bytes:
    """What the codec is to decode: bytes of either kind of message, but for a codec that keeps the kinds apart."""
    if codec.binary is None or isinstance(message, bytes):
        return message  # type: ignore[return-value]  # such a codec takes text as str
    return message.encode()


def reader_of(codec: Codec) -> Read:
    """What makes a frame of the data. It raises what the codec raises.

    The codecs of ours leave out which room a message names, which a client's is nobody's business; a client wants to know it.
    """
    if isinstance(codec, JSONCodec) and type(codec).decode is JSONCodec.decode:
        read = msgspec.json.Decoder(Frame, dec_hook=told_room).decode

        def read_json(data: bytes) -> Frame:
            try:
                return read(data)
            except msgspec.DecodeError as error:
                return read_with_lone_surrogates(read, data, error)

        return read_json
    if isinstance(codec, MsgpackCodec) and type(codec).decode is MsgpackCodec.decode:
        return msgspec.msgpack.Decoder(MsgpackFrame, dec_hook=told_room).decode
    return codec.decode
