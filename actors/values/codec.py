"""Codecs: how a frame becomes a WebSocket message and back."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec

from wspulse.actors.values.frame import Frame, MsgpackFrame

__all__ = ["Codec", "JSONCodec", "MsgpackCodec", "RawCodec"]


@runtime_checkable
class Codec(Protocol):
    """The contract of a codec (contract.md §1). One codec object serves all connections of a process, one call at a time.

    `binary` says which kind of WebSocket message `encode` makes: False text, True binary, None: each message keeps its
    kind, that is, `encode` returns `str` or `bytes` and `decode` gets `str` or `bytes` (else always `bytes`).
    Messages of the other kind than the codec's are handed to `decode` all the same.
    `decode` raises what it likes on a message that it cannot read: the message is logged, counted and dropped.
    What `encode` raises reaches the caller of `send` or `broadcast`, and nothing is sent.
    """

    @property
    def binary(self) -> bool | None: ...

    def encode(self, frame: Frame, /) -> bytes | str: ...

    def decode(self, data: bytes, /) -> Frame: ...


class JSONCodec:
    """Frames as JSON objects in text messages: `{"id": "...", "event": "...", "payload": ...}`, each field optional."""

    binary = False

    def __init__(self) -> None:
        self.encode = msgspec.json.Encoder().encode
        self.decode = msgspec.json.Decoder(Frame).decode

    encode: _Encode
    decode: _Decode


class MsgpackCodec:
    """Frames as msgpack maps with the fields of `JSONCodec` in binary messages."""

    binary = True

    def __init__(self) -> None:
        self.encode = msgspec.msgpack.Encoder().encode
        self.decode = msgspec.msgpack.Decoder(MsgpackFrame).decode

    encode: _Encode
    decode: _Decode


class RawCodec:
    """Messages as they are, byte for byte and text as text: `frame.payload` is the whole message as `str` or `bytes`."""

    binary = None

    def encode(self, frame: Frame, /) -> bytes | str:
        payload = frame.payload
        if isinstance(payload, (str, bytes)):
            return payload
        raise TypeError(f"wspulse: the raw codec sends str or bytes, not {type(payload).__name__}")

    def decode(self, data: bytes, /) -> Frame:
        return Frame("", data)


class _Encode(Protocol):
    def __call__(self, frame: Frame, /) -> bytes: ...


class _Decode(Protocol):
    def __call__(self, data: bytes, /) -> Frame: ...
