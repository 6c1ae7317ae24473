"""What the bridge says to programs and hears from them, as plain values.

Used by `OpenQuestions`, which reads answers, and by `BridgeService`, which reads requests and encodes what is sent. No I/O.
"""

from __future__ import annotations

from typing import Any

import msgspec

from wspulse.actors.mesh.message import BridgeFrame
from wspulse.actors.values.errors import BadRequestError
from wspulse.actors.values.text.lone_surrogates import decode_json
from wspulse.supervisor.protocol.wire import ControlRequest, NoArguments, read_args

__all__ = ["AttachArguments", "frame_fields", "read_attach", "read_credit", "read_identity", "read_nothing"]

MAX_REASON_CHARACTERS = 4096
"""Of the text that refuses a client: the client is told no more (contract §2)."""

MAX_ID_BYTES = 256
"""contract §2, of room and connection ids."""


class AttachArguments(msgspec.Struct, forbid_unknown_fields=True):
    window: int = 256
    """Messages that may be on their way to the program, or unread in it."""
    heartbeat: float = 10.0
    """Seconds of silence after which the program counts as dead."""


class _CreditArguments(msgspec.Struct, forbid_unknown_fields=True):
    count: int


class _Identity(msgspec.Struct):
    room: str
    connection: str = ""


def read_attach(request: ControlRequest) -> AttachArguments:
    """Raises BadRequestError."""
    args = read_args(request, AttachArguments)
    if not 1 <= args.window <= 100_000:
        raise BadRequestError(f"args: `window` is {args.window}; allowed: 1 … 100000")
    if not 1 <= args.heartbeat <= 300:
        raise BadRequestError(f"args: `heartbeat` is {args.heartbeat:g}; allowed: 1 … 300 seconds")
    return args


def read_credit(request: ControlRequest) -> int:
    """How many messages a program has read. Raises BadRequestError."""
    count = read_args(request, _CreditArguments).count
    if count < 1:
        raise BadRequestError("args: `count` must be at least 1")
    return count


def read_nothing(request: ControlRequest) -> None:
    """Of `detach` and `pong`. Raises BadRequestError for any argument."""
    read_args(request, NoArguments)


def frame_fields(frame: BridgeFrame, encoding: str) -> dict[str, Any]:
    """A frame for a program that speaks `encoding`; where the codec spoke it too, the payload goes byte for byte."""
    fields: dict[str, Any] = {"event": frame.event, "id": frame.id}
    try:
        match frame.kind:
            case "":
                pass
            case "text":
                fields["payload"] = frame.payload.decode()
            case "bytes":
                fields["payload"] = frame.payload
            case kind if kind == encoding:
                fields["payload"] = msgspec.Raw(frame.payload)
            case "json":
                fields["payload"] = decode_json(frame.payload)
                msgspec.msgpack.encode(fields["payload"])
            case _:
                fields["payload"] = msgspec.msgpack.decode(frame.payload)
                msgspec.json.encode(fields["payload"])
    except (TypeError, ValueError, OverflowError, RecursionError):
        # An integer beyond 64 bits, for one, has no place in msgpack.
        return {"event": frame.event, "id": frame.id, "unreadable": True}
    return fields


def read_identity(answer: ControlRequest, program: int) -> dict[str, Any]:
    """A program's answer to `connect`, as the worker wants it."""
    if answer.error is not None:
        text = answer.error.get("message") if isinstance(answer.error, dict) else answer.error
        return {"status": 401, "text": text[:MAX_REASON_CHARACTERS] if isinstance(text, str) else "refused"}
    try:
        decode = decode_json if answer.encoding == "json" else msgspec.msgpack.decode
        identity = decode(answer.args, type=_Identity)
    except (ValueError, RecursionError):
        return {"status": 503, "text": "the program's answer cannot be read"}
    if max(len(identity.room.encode()), len(identity.connection.encode())) > MAX_ID_BYTES:
        return {"status": 503, "text": "the program's answer cannot be used"}
    return {"room": identity.room, "connection": identity.connection, "program": program}
