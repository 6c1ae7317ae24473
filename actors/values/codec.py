"""Codecs: how a frame becomes a WebSocket message and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import msgspec

from wspulse.actors.values.frame import Frame, InboundFrame, MsgpackFrame, ignored_room
from wspulse.actors.values.text.lone_surrogates import read_with_lone_surrogates

__all__ = ["Codec", "JSONCodec", "MsgpackCodec", "RawCodec", "decoding_lanes"]


@runtime_checkable
class Codec(Protocol):
    """The contract of a codec. One codec object serves all connections of a process, one call at a time.

    `binary` says which kind of WebSocket message `encode` makes: False for text, True for binary, None if each message keeps
    its kind: `encode` then returns `str` or `bytes`, and `decode` gets `str` or `bytes` (otherwise always `bytes`). Messages of
    the other kind are passed to `decode` too. `decode` may raise any exception for a message that it cannot read: the
    message is logged, counted and dropped. What `encode` raises reaches the caller of `send` or `broadcast`, and nothing is
    sent.
    """

    @property
    def binary(self) -> bool | None: ...

    def encode(self, frame: Frame, /) -> bytes | str: ...

    def decode(self, data: bytes, /) -> Frame: ...


class JSONCodec:
    """Frames as JSON objects in text messages: `{"id": "...", "event": "...", "payload": ...}`, each field optional; also
    `"room"` if the application has set it.

    A lone surrogate (`"\\ud83d"`) passes through in a payload unchanged; in `event` and `id` it becomes U+FFFD.
    """

    binary = False

    def __init__(self) -> None:
        self.encode = msgspec.json.Encoder().encode
        self._read = msgspec.json.Decoder(Frame, dec_hook=ignored_room).decode

    encode: _Encode

    def decode(self, data: bytes, /) -> Frame:
        try:
            return self._read(data)
        except msgspec.DecodeError as error:
            return self._read_refused(data, error)

    def _read_refused(self, data: bytes, error: Exception) -> Frame:
        if not isinstance(error, msgspec.DecodeError):
            raise error
        if not _is_of_room(error):
            return read_with_lone_surrogates(self._read, data, error)
        try:
            return _read_json_without_room(data)
        except msgspec.DecodeError as other:
            return read_with_lone_surrogates(_read_json_without_room, data, other)


class MsgpackCodec:
    """Frames as msgpack maps in binary messages, with the same fields as `JSONCodec`."""

    binary = True

    def __init__(self) -> None:
        self.encode = msgspec.msgpack.Encoder().encode
        self._read = msgspec.msgpack.Decoder(MsgpackFrame, dec_hook=ignored_room).decode

    encode: _Encode

    def decode(self, data: bytes, /) -> Frame:
        try:
            return self._read(data)
        except ValueError as error:
            return self._read_refused(data, error)

    def _read_refused(self, data: bytes, error: Exception) -> Frame:
        if not isinstance(error, ValueError):
            raise error
        try:
            inbound = _read_msgpack_inbound(data)
        except ValueError:
            raise error from None
        return MsgpackFrame(inbound.event, inbound.payload, inbound.id)


class RawCodec:
    """Messages unchanged: `frame.payload` is the whole message, `str` for text and `bytes` for binary."""

    binary = None

    def encode(self, frame: Frame, /) -> bytes | str:
        payload = frame.payload
        if isinstance(payload, (str, bytes)):
            return payload
        raise TypeError(f"wspulse: the raw codec sends str or bytes, not {type(payload).__name__}")

    def decode(self, data: bytes, /) -> Frame:
        return Frame("", data)


def decoding_lanes(codec: Codec) -> tuple[Callable[[Any], Frame], Callable[[Any, Exception], Frame]]:
    """`decode` of a codec in two: what reads nearly every message, and what is asked with the error of one that was not read.

    The first of ours is msgspec's own function: a function of Python around it is 50 ns more for every frame.
    """
    if isinstance(codec, (JSONCodec, MsgpackCodec)) and type(codec).decode in (JSONCodec.decode, MsgpackCodec.decode):
        return codec._read, codec._read_refused
    return codec.decode, _refuse


def _refuse(_data: Any, error: Exception) -> Frame:
    raise error


_read_json_inbound = msgspec.json.Decoder(InboundFrame).decode
_read_msgpack_inbound = msgspec.msgpack.Decoder(InboundFrame).decode


def _is_of_room(error: Exception) -> bool:
    """Whether the one thing wrong with a message that msgspec has found is its room, which nobody reads."""
    return "`$.room" in str(error)


def _read_json_without_room(data: bytes) -> Frame:
    inbound = _read_json_inbound(data)
    return Frame(inbound.event, inbound.payload, inbound.id)


class _Encode(Protocol):
    def __call__(self, frame: Frame, /) -> bytes: ...
