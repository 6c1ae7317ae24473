"""Requests and answers of the control socket as bytes (doc/reference/control.md). No I/O, no meaning of operations.

A request whose first byte is `{` is JSON, anything else msgpack; its answer is in the same encoding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from wspulse.actors.values.errors import BadRequestError
from wspulse.actors.values.log_limit import shortened
from wspulse.actors.values.text.lone_surrogates import read_with_lone_surrogates

__all__ = [
    "ControlRequest",
    "Incomplete",
    "NoArguments",
    "UnreadableRequestError",
    "encode",
    "error_answer",
    "read_args",
    "read_request",
    "result_answer",
]

Args = TypeVar("Args", bound=msgspec.Struct)
Read = TypeVar("Read", bound=msgspec.Struct)

_MAX_ID_BYTES = 256

_json_encode = msgspec.json.Encoder().encode
_msgpack_encode = msgspec.msgpack.Encoder().encode


class _Head(msgspec.Struct):
    id: int | str | None = None
    op: str | None = None
    args: msgspec.Raw = msgspec.Raw(b"")
    ok: bool | None = None
    result: msgspec.Raw = msgspec.Raw(b"")
    error: Any = None


class _IdOnly(msgspec.Struct):
    id: int | str | None = None


_heads = {"json": msgspec.json.Decoder(_Head).decode, "msgpack": msgspec.msgpack.Decoder(_Head).decode}
_ids = {"json": msgspec.json.Decoder(_IdOnly).decode, "msgpack": msgspec.msgpack.Decoder(_IdOnly).decode}


class ControlRequest(NamedTuple):
    """A request, or (with an empty `op`) an attached program's answer to a question: `args` is then its result."""

    id: int | str | None
    op: str
    args: msgspec.Raw
    encoding: str
    error: Any = None
    """What the program answered instead of a result."""


class NoArguments(msgspec.Struct, forbid_unknown_fields=True):
    """Of an operation that takes none: there must be none."""


class UnreadableRequestError(Exception):
    """No request. `request_id` is None where not even the id can be read."""

    def __init__(self, request_id: int | str | None, encoding: str, problem: str) -> None:
        super().__init__(problem)
        self.request_id = request_id
        self.encoding = encoding
        self.problem = problem


def encode(encoding: str, value: Any) -> bytes:
    return _json_encode(value) if encoding == "json" else _msgpack_encode(value)


def read_request(data: bytes) -> ControlRequest:
    """Raises UnreadableRequestError."""
    encoding = "json" if data[:1] == b"{" else "msgpack"
    try:
        if encoding == "json":
            data.decode()  # what the decoder skips it does not check
        head = _read(_heads[encoding], data, encoding)
    except (ValueError, RecursionError) as error:
        raise UnreadableRequestError(_readable_id(data, encoding), encoding, shortened(str(error))) from None
    if head.op is None:
        if head.ok is None:
            raise UnreadableRequestError(_echoed(head.id), encoding, "`op` is missing")
        return ControlRequest(head.id, "", head.result, encoding, None if head.ok else (head.error or "refused"))
    if _echoed(head.id) != head.id:
        raise UnreadableRequestError(None, encoding, f"`id` is longer than {_MAX_ID_BYTES} bytes or 64 bits")
    return ControlRequest(head.id, head.op, head.args, encoding)


def read_args(request: ControlRequest, type: type[Args]) -> Args:  # noqa: A002
    """The arguments as `type` wants them. Raises BadRequestError."""
    try:
        if not bytes(request.args):
            return msgspec.convert({}, type)
        if request.encoding == "json":
            return _read(msgspec.json.Decoder(type).decode, bytes(request.args), "json")
        return msgspec.msgpack.decode(request.args, type=type)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"args: {shortened(str(error))}") from None


class Incomplete(NamedTuple):
    """A result over all shards, in which some are missing: alive, and silent."""

    result: Any
    missing_shards: Sequence[int]


def result_answer(encoding: str, request_id: int | str | None, result: Any) -> bytes:
    if isinstance(result, Incomplete):
        missing = list(result.missing_shards)
        return encode(encoding, {"id": request_id, "ok": True, "result": result.result, "incomplete": missing})
    return encode(encoding, {"id": request_id, "ok": True, "result": result})


def error_answer(encoding: str, request_id: int | str | None, code: str, message: str) -> bytes:
    return encode(encoding, {"id": request_id, "ok": False, "error": {"code": code, "message": message}})


def _read(read: Callable[[bytes], Read], data: bytes, encoding: str) -> Read:
    try:
        return read(data)
    except msgspec.DecodeError as error:
        if encoding != "json":
            raise
        return read_with_lone_surrogates(read, data, error)


def _readable_id(data: bytes, encoding: str) -> int | str | None:
    try:
        return _echoed(_read(_ids[encoding], data, encoding).id)
    except (ValueError, RecursionError):
        return None


def _echoed(request_id: int | str | None) -> int | str | None:
    """The id as far as an answer can carry it."""
    if isinstance(request_id, str):
        return request_id if len(request_id) <= _MAX_ID_BYTES else None
    if isinstance(request_id, int):
        return request_id if -(2**63) <= request_id < 2**64 else None
    return None
