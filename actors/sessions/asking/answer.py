"""`Answer`: the message with which a client answers a call, and what it says. No I/O.

An answer travels between processes as it came, since only the codec knows how a frame is written.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from secrets import token_hex
from typing import Any, NamedTuple, Protocol

import msgspec

from wspulse.actors.values.codec import Codec, RawCodec
from wspulse.actors.values.errors import ReplyError
from wspulse.actors.values.frame import Frame
from wspulse.actors.wire.frames import TEXT

__all__ = ["CALL_ID_PREFIX", "Answer", "Decoding", "asking_frame", "checked_timeout", "decoded", "no_answer", "replied"]

CALL_ID_PREFIX = "wspulse:"
"""With which the id of a call begins, and no other that the server makes."""

_LONGEST_S = 24 * 3600.0


class Answer(NamedTuple):
    """A message with the id of a call."""

    frame: Frame
    opcode: int
    data: bytes
    """What `frame` was decoded from."""


class Decoding(Protocol):
    """How a shard reads messages."""

    decode: Callable[[Any], Frame]
    decode_refused: Callable[[Any, Exception], Frame]
    keeps_kind: bool
    wants_text: bool


def decoded(shard: Decoding, opcode: int, payload: bytes) -> Frame:
    """The frame in a message. Raises what the codec raises. `Inbox.receive` has this inlined."""
    try:
        if opcode == TEXT:
            return shard.decode(payload if not shard.keeps_kind else payload.decode())
        if shard.wants_text:
            payload.decode()
        return shard.decode(payload)
    except Exception as error:
        return shard.decode_refused(payload, error)


def asking_frame(frame: Frame, codec: Codec) -> Frame:
    """`frame` with an id that no call had before and nobody can guess. Raises RuntimeError where frames have no ids."""
    if isinstance(codec, RawCodec):
        raise RuntimeError("wspulse: `call` matches answers by their ids, which the raw codec's frames do not have")
    return msgspec.structs.replace(frame, id=CALL_ID_PREFIX + token_hex(12))


def checked_timeout(timeout_s: float) -> float:
    """Raises TypeError and ValueError."""
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)):
        raise TypeError(f"wspulse: call: timeout_s must be a number of seconds, not {type(timeout_s).__name__}")
    if not (isfinite(timeout_s) and 0 < timeout_s <= _LONGEST_S):
        raise ValueError(f"wspulse: call: timeout_s is {timeout_s}; allowed: above 0, up to {_LONGEST_S:.0f} seconds")
    return timeout_s


def no_answer(connection_id: str, timeout_s: float) -> TimeoutError:
    return TimeoutError(f"wspulse: no answer from {connection_id} within {timeout_s:g} s")


def replied(asked: Frame, answer: Frame) -> Frame:
    """The answer to a frame. Raises ReplyError where it is an error."""
    if answer.event == f"{asked.event}.error":
        raise ReplyError(_plain(answer))
    return answer


def _plain(frame: Frame) -> Any:
    try:
        return frame.decode()
    except Exception:  # what a peer made up, or a codec
        return frame.payload
