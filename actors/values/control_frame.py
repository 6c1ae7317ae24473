"""Frames from the control socket: a map with `event`, `payload`, `id` and `room`, in JSON or msgpack, becomes a `Frame`.

Used by a shard, which knows the application's codec; the supervisor passes such maps on without looking into them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from wspulse.actors.values.codec import Codec, JSONCodec, MsgpackCodec
from wspulse.actors.values.errors import BadRequestError
from wspulse.actors.values.frame import Frame, MsgpackFrame, told_room
from wspulse.actors.values.log_limit import shortened
from wspulse.actors.values.text.lone_surrogates import read_with_lone_surrogates

__all__ = ["encode_control_frame", "read_control_frame"]


class _PlainFrame(Frame):
    """A frame whose payload is decoded."""

    payload: Any = msgspec.UNSET


_read_json = msgspec.json.Decoder(Frame, dec_hook=told_room).decode
_read_json_plain = msgspec.json.Decoder(_PlainFrame, dec_hook=told_room).decode
_read_msgpack = msgspec.msgpack.Decoder(MsgpackFrame, dec_hook=told_room).decode
_read_msgpack_plain = msgspec.msgpack.Decoder(_PlainFrame, dec_hook=told_room).decode


def read_control_frame(data: bytes, encoding: str, codec: Codec) -> Frame:
    """The frame that `data` describes; `encoding` is "json" or "msgpack".

    Where the codec writes the same encoding, the payload is passed through byte for byte. Raises BadRequestError.
    """
    try:
        if encoding == "json":
            text = data.decode()  # skipped and raw text is not checked by the decoder, and clients would choke on it
            read = _read_json if isinstance(codec, JSONCodec) else _read_json_plain
            try:
                return read(text)
            except msgspec.DecodeError as error:
                return read_with_lone_surrogates(read, data, error)
        return (_read_msgpack if isinstance(codec, MsgpackCodec) else _read_msgpack_plain)(data)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"frame: {_problem(error)}") from None


def encode_control_frame(encode: Callable[[Frame], bytes], frame: Frame) -> bytes:
    """`encode(frame)`. Raises BadRequestError when the codec finds the payload to be of a wrong kind."""
    try:
        return encode(frame)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise BadRequestError(f"frame: the codec cannot encode it: {_problem(error)}") from None


def _problem(error: Exception) -> str:
    return shortened(str(error).removeprefix("wspulse: "))
