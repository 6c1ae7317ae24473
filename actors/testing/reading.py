"""What a test's client makes of a message: a frame with its payload as plain values, and with the room that it names.

For the client. The server's codecs leave out what a client says of rooms; a client wants to know what the server says.
"""

from __future__ import annotations

from typing import Any

import msgspec

from wspulse.actors.values.codec import Codec, JSONCodec, MsgpackCodec
from wspulse.actors.values.frame import Frame

__all__ = ["read"]


class _Named(msgspec.Struct):
    room: str = ""


_room_of_json = msgspec.json.Decoder(_Named).decode
_room_of_msgpack = msgspec.msgpack.Decoder(_Named).decode


def read(codec: Codec, message: str | bytes) -> Frame:
    """A message that the codec cannot read becomes a frame without event, with the message as its payload."""
    data: Any = message.encode() if isinstance(message, str) and codec.binary is not None else message
    try:
        frame = codec.decode(data)
        payload = frame.decode() if isinstance(frame.payload, msgspec.Raw) else frame.payload
    except Exception:  # codecs raise what they like
        return Frame("", message)
    return Frame(frame.event, payload, frame.id, frame.room or _room(codec, data))


def _room(codec: Codec, data: bytes) -> str:
    """What a message of one of our codecs says; others have read it themselves."""
    try:
        if isinstance(codec, JSONCodec):
            return _room_of_json(data).room
        if isinstance(codec, MsgpackCodec):
            return _room_of_msgpack(data).room
    except ValueError:
        pass  # a codec that is derived from ours, and writes something else
    return ""
