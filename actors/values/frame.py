"""`Frame`: what a client sees as one message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

import msgspec
from msgspec import UNSET

from wspulse.actors.values.text.lone_surrogates import decode_json

__all__ = ["Frame", "MsgpackFrame"]

T = TypeVar("T")

if TYPE_CHECKING:
    Payload = Any
else:
    # What a decoder does with the field: leave the payload's bytes alone. Construction does not check types.
    Payload = msgspec.Raw


class Frame(msgspec.Struct, omit_defaults=True):
    """One WebSocket message: an event's name, a payload, and an id that the application may use to match answers.

    Outbound, `payload` is any value that msgspec can encode, or `msgspec.Raw` (bytes in the codec's encoding, passed
    through); None is JSON null, UNSET (the default) leaves the payload out. Inbound it is `msgspec.Raw`, byte for byte
    as the peer sent it, or UNSET when the peer sent none. With `--codec raw` it is the whole message as `str` or
    `bytes`. (contract.md §1)
    """

    event: str = ""
    payload: Payload = UNSET
    id: str = ""

    @overload
    def decode(self) -> Any: ...
    @overload
    def decode(self, type: type[T]) -> T: ...
    def decode(self, type: Any = Any) -> Any:  # noqa: A002
        """Decode and validate the payload.

        Returns a value of `type`; an absent payload counts as None. A payload that is no raw bytes (an outbound frame's)
        is converted. Raises `msgspec.ValidationError`, with the path of the field, where the payload does not fit, and
        `msgspec.DecodeError` where it is malformed. Half a surrogate pair in JSON (`"\\ud83d"`), which no text that could be
        stored or sent may hold, becomes U+FFFD; `payload` itself has it as it came.
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
