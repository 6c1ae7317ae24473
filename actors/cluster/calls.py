"""How messages to the shards of other hosts, and their answers, are written. No I/O.

An answer is its result, or the code and the subject of an error, as mailboxes have them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from wspulse.actors.mesh.message import Message
from wspulse.actors.values.errors import ShardUnavailableError, WspulseError, error_from_code, error_subject

__all__ = ["decode_answer", "decode_message", "encode_answer", "encode_error", "encode_message"]

_encoder = msgspec.msgpack.Encoder()
_messages: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


class _Answer(msgspec.Struct, array_like=True, gc=False):
    code: str
    """"": there is a result."""
    subject: str
    result: Any = None


_answers = msgspec.msgpack.Decoder(_Answer)


def encode_message(message: Message) -> bytes:
    return _encoder.encode(message)


def decode_message(data: bytes) -> Message:
    """Raises ShardUnavailableError for what this version does not know."""
    try:
        return _messages.decode(data)
    except msgspec.DecodeError as error:
        raise ShardUnavailableError(f"the other host sent what this one does not know: {error}") from None


def encode_answer(result: Any) -> bytes:
    return _encoder.encode(_Answer("", "", result))


def encode_error(error: WspulseError) -> bytes:
    return _encoder.encode(_Answer(error.code, error_subject(error)))


def decode_answer(data: bytes) -> Any:
    """The result. Raises the error."""
    answer = _answers.decode(data)
    if answer.code:
        raise error_from_code(answer.code, answer.subject)
    return answer.result
