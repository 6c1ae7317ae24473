"""What the bridge says to programs and hears from them, as plain values. No I/O."""

from __future__ import annotations

from typing import Any

import msgspec

from wspulse.actors.mesh.message import BridgeFrame
from wspulse.supervisor.protocol.wire import ControlRequest

__all__ = ["frame_fields", "read_identity"]

MAX_ID_BYTES = 256
"""contract.md §2, of room and connection ids."""


class _Identity(msgspec.Struct):
    room: str
    connection: str = ""


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
                fields["payload"] = msgspec.json.decode(frame.payload)
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
        return {"status": 401, "text": str(text)}
    try:
        decode = msgspec.json.decode if answer.encoding == "json" else msgspec.msgpack.decode
        identity = decode(answer.args, type=_Identity)
    except (ValueError, RecursionError):
        return {"status": 503, "text": "the program's answer cannot be read"}
    if max(len(identity.room.encode()), len(identity.connection.encode())) > MAX_ID_BYTES:
        return {"status": 503, "text": "the program's answer cannot be used"}
    return {"room": identity.room, "connection": identity.connection, "program": program}
