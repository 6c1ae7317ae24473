"""`Frame`: what a client sees as one message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

import msgspec
from msgspec import UNSET

from wspulse.actors.values.text.lone_surrogates import decode_json

__all__ = ["Frame", "InboundFrame", "MsgpackFrame", "ignored_room", "told_room"]

T = TypeVar("T")

if TYPE_CHECKING:
    Payload = Any
    RoomName = str
else:
    # What a decoder does with the field: leave the payload's bytes alone. Construction does not check types.
    Payload = msgspec.Raw

    class _Anything(type):
        def __instancecheck__(cls, value: object) -> bool:
            return True

    class RoomName(metaclass=_Anything):
        """What a decoder gives to its `dec_hook`, which says what becomes of the room in a message."""


class Frame(msgspec.Struct, omit_defaults=True):
    """One WebSocket message: the name of an event, a payload, and an id that the application may use to match answers. `room`
    may tell a client in several rooms which of them a frame is about; what a client sends there is ignored.

    Outbound, `payload` is any value that msgspec can encode, or `msgspec.Raw` (bytes in the codec's encoding, passed through);
    None is JSON null, UNSET (the default) leaves the payload out. Inbound it is `msgspec.Raw`, byte for byte as the peer sent
    it, or UNSET if the peer sent none. With `--codec raw` it is the whole message as `str` or `bytes`.
    """

    event: str = ""
    payload: Payload = UNSET
    id: str = ""
    room: RoomName = ""

    @overload
    def decode(self) -> Any: ...
    @overload
    def decode(self, type: type[T]) -> T: ...
    def decode(self, type: Any = Any) -> Any:  # noqa: A002
        """Decode and validate the payload.

        Returns a value of `type`; an absent payload counts as None. A payload that is not raw bytes (an outbound frame's) is
        converted. Raises `msgspec.ValidationError`, with the path of the field, if the payload does not match `type`, and
        `msgspec.DecodeError` if it is malformed. A lone surrogate in JSON (`"\\ud83d"`), which UTF-8 cannot encode, becomes
        U+FFFD; `payload` itself keeps it as it came.
        """
        payload = self.payload
        if payload is UNSET:
            return msgspec.convert(None, type)
        if isinstance(payload, msgspec.Raw):
            return self._decode_raw(payload, type)
        return msgspec.convert(payload, type)

    def _decode_raw(self, payload: msgspec.Raw, type: Any) -> Any:  # noqa: A002
        return decode_json(payload, type)


class MsgpackFrame(Frame, omit_defaults=True):
    """A frame whose raw payload is msgpack."""

    def _decode_raw(self, payload: msgspec.Raw, type: Any) -> Any:  # noqa: A002
        return msgspec.msgpack.decode(payload, type=type)


class InboundFrame(msgspec.Struct):
    """What is read of a message where its room cannot even be decoded."""

    event: str = ""
    payload: Payload = UNSET
    id: str = ""


def ignored_room(_kind: type, _room: object) -> str:
    """For decoders of what clients send, as `dec_hook`."""
    return ""


def told_room(_kind: type, room: object) -> str:
    """For decoders of frames that are to be sent, as `dec_hook`."""
    if not isinstance(room, str):
        raise TypeError("`room` must be a string")
    return room
