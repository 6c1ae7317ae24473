"""The operations as the clients send them: what goes into a request, and what comes out of its answer. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar, get_args, get_origin

import msgspec

from wspulse.actors.values.close_code import check_close
from wspulse.actors.values.errors import ControlError, id_error
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.text.ids import checked_excluded, checked_room_id
from wspulse.supervisor.protocol.refusals import refusal
from wspulse.supervisor.protocol.types import (
    ClusterHost,
    ConnectionInfo,
    Listing,
    MeasurementInfo,
    MemberInfo,
    MovedInfo,
    RoomInfo,
    ScaledInfo,
    ServerInfo,
    ServerStats,
    ShardMovedInfo,
)

__all__ = ["RESTART_TIMEOUT_S", "TIMEOUT_S", "Call", "FrameLike", "answer_number", "calls", "read_answer"]

TIMEOUT_S = 10.0
"""The server itself gives a request to a shard 5 s."""

RESTART_TIMEOUT_S = 600.0
"""For an application's start and the slowest handler (--handover-timeout, 10 s by default), of many workers one after another."""

Result = TypeVar("Result")

FrameLike = Frame | Mapping[str, Any]
"""A frame, or a map with `event`, `payload`, `id` and `room`."""

_FIELDS = {"event", "payload", "id", "room"}


class Call(NamedTuple, Generic[Result]):
    """One operation to be asked for."""

    op: str
    args: dict[str, Any]
    result: type[Result]
    encoding: str = "msgpack"
    timeout_s: float | None = None
    """Its own deadline, where the client's would be too short."""

    def encode(self, number: int) -> bytes:
        """The request. Raises TypeError, ValueError for a payload that cannot be encoded."""
        request = {"id": number, "op": self.op, "args": self.args}
        return msgspec.json.encode(request) if self.encoding == "json" else msgspec.msgpack.encode(request)


class _Answer(msgspec.Struct):
    id: int | None = None
    ok: bool = False
    result: Any = None
    error: dict[str, str] | None = None
    incomplete: tuple[int, ...] = ()


class _Calls:
    """Makes the calls; the names are those of the operations. Raises TypeError for an id that is no str."""

    def ping(self, token: str | None = None) -> Call[ServerInfo]:
        return Call("ping", {} if token is None else {"event": token}, ServerInfo)

    def send(self, connection: str, frame: FrameLike) -> Call[None]:
        if not isinstance(connection, str):
            raise id_error("connection", connection)
        fields, encoding = _fields(frame)
        return Call("send", {"connection": connection, "frame": fields}, type(None), encoding)

    def broadcast(self, room: str, frame: FrameLike, exclude: Iterable[str] = ()) -> Call[None]:
        if not isinstance(room, str):
            raise id_error("room", room)
        fields, encoding = _fields(frame)
        excluded = sorted(checked_excluded(exclude))
        without = {"exclude": excluded} if excluded else {}
        return Call("broadcast", {"room": room, "frame": fields, **without}, type(None), encoding)

    def kick(self, connection: str, code: int = 1000, reason: str = "kicked") -> Call[None]:
        if not isinstance(connection, str):
            raise id_error("connection", connection)
        check_close(code, reason)
        usual = code == 1000 and reason == "kicked"
        how = {} if usual else {"code": code, "reason": reason}
        return Call("kick", {"connection": connection, **how}, type(None))

    def join(self, connection: str, room: str) -> Call[None]:
        return _membership("join", connection, room)

    def leave(self, connection: str, room: str) -> Call[None]:
        return _membership("leave", connection, room)

    def presence(self, room: str) -> Call[Listing[MemberInfo]]:
        if not isinstance(room, str):
            raise id_error("room", room)
        return Call("presence", {"room": room}, Listing[MemberInfo])

    def connections(self, room: str | None) -> Call[Listing[ConnectionInfo]]:
        if room is not None and not isinstance(room, str):
            raise id_error("room", room)
        return Call("connections", {} if room is None else {"room": room}, Listing[ConnectionInfo])

    def rooms(self) -> Call[Listing[RoomInfo]]:
        return Call("rooms", {}, Listing[RoomInfo])

    def hosts(self, *, load: bool = False) -> Call[list[ClusterHost]]:
        return Call("hosts", {"load": True} if load else {}, list[ClusterHost])

    def stats(self) -> Call[ServerStats]:
        return Call("stats", {}, ServerStats)

    def metrics(self) -> Call[list[MeasurementInfo]]:
        return Call("metrics", {}, list[MeasurementInfo])

    def restart(self, shard: int, *, drain: bool) -> Call[MovedInfo]:
        return Call("restart", {"shard": shard, **_drained(drain)}, MovedInfo, timeout_s=RESTART_TIMEOUT_S)

    def reload(self, *, drain: bool) -> Call[list[ShardMovedInfo]]:
        return Call("reload", _drained(drain), list[ShardMovedInfo], timeout_s=RESTART_TIMEOUT_S)

    def scale(self, workers: int) -> Call[ScaledInfo]:
        return Call("scale", {"workers": workers}, ScaledInfo, timeout_s=RESTART_TIMEOUT_S)

    def shutdown(self) -> Call[None]:
        return Call("shutdown", {}, type(None))


calls = _Calls()


def answer_number(data: bytes) -> int | None:
    """Which request an answer belongs to; None for something else."""
    try:
        decode = msgspec.json.decode if data[:1] == b"{" else msgspec.msgpack.decode
        return decode(data, type=_Number).id
    except (ValueError, RecursionError):
        return None


def read_answer(data: bytes, call: Call[Result]) -> Result:
    """The result. Raises ControlError with the server's code, which is the server's own kind of error too."""
    decode = msgspec.json.decode if data[:1] == b"{" else msgspec.msgpack.decode
    try:
        answer = decode(data, type=_Answer)
        if answer.ok:
            result = msgspec.convert(answer.result, call.result, dec_hook=_read_listing)
            if isinstance(result, Listing):
                result.missing_shards = answer.incomplete
            return result
    except (ValueError, RecursionError) as error:
        raise ControlError(f"the server's answer cannot be read: {error}", "internal") from None
    raise refusal(answer.error, call.args.get("connection", ""))


def _read_listing(kind: Any, value: Any) -> Any:
    """msgspec knows no lists but `list`."""
    if get_origin(kind) is not Listing:
        raise NotImplementedError
    (item,) = get_args(kind)
    return Listing(msgspec.convert(row, item) for row in msgspec.convert(value, list))


def _membership(op: str, connection: str, room: str) -> Call[None]:
    if not isinstance(connection, str):
        raise id_error("connection", connection)
    return Call(op, {"connection": connection, "room": checked_room_id(room)}, type(None))


def _drained(drain: bool) -> dict[str, Any]:
    return {"drain": True} if drain else {}


class _Number(msgspec.Struct):
    id: int | None = None


def _fields(frame: FrameLike) -> tuple[dict[str, Any], str]:
    """A frame's fields, and the encoding in which they go: a raw payload is taken for JSON, as codecs' default is."""
    if isinstance(frame, Frame):
        fields: dict[str, Any] = {"event": frame.event, "id": frame.id}
        if frame.payload is not msgspec.UNSET:
            fields["payload"] = frame.payload
        if frame.room:
            fields["room"] = frame.room
    elif isinstance(frame, Mapping):
        fields = dict(frame)
        if unknown := fields.keys() - _FIELDS:
            raise ValueError(
                f"wspulse: a frame has no {', '.join(sorted(map(repr, unknown)))}; its fields are event, payload, id and room"
            )
    else:
        raise TypeError(f"wspulse: a frame must be a Frame or a mapping, not {type(frame).__name__}")
    return fields, "json" if isinstance(fields.get("payload"), msgspec.Raw) else "msgpack"
