"""`AccessLog`: a line for each upgrade, each refusal and each end of a connection.

Made by the journal where somebody reads it; without, nothing of this exists and no frame pays for it. With it each connection
has a record, which stands between its transport and the socket, and between that and the session, and counts frames and the code
of the close frame. It judges nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from logging import Logger
from time import monotonic
from typing import Any, Protocol, cast

from wspulse.actors.values.close_code import EMPTY_CLOSE_CODE
from wspulse.actors.values.log_limit import shortened
from wspulse.actors.values.request import Request
from wspulse.actors.wire.frames import BINARY, CLOSE, header_size, payload_size

__all__ = ["AccessLog", "address_text", "whose"]

_LOST = 1006
"""The code of an end without a close frame of ours, as clients call it (RFC 6455 §7.1.5)."""


class Carrying(Protocol):
    """A transport, as this sees it."""

    write: Callable[[bytes], object]
    session: Any


class Joining(Protocol):
    """An upgrade, as this sees it."""

    room_id: str
    connection_id: str
    request: Request


class AccessLog:
    """See the module. Lines are written by `logger` at `level`."""

    def __init__(self, logger: Logger, level: int) -> None:
        self._logger = logger
        self._level = level
        self._records: dict[object, _Record] = {}

    def opened(self, transport: Carrying, upgrade: Joining, *, is_resumed: bool) -> None:
        """The 101 is written, and the session has not yet the transport: what it writes from now on is counted."""
        fields = _fields_of(upgrade.request, upgrade.connection_id, upgrade.room_id)
        self._watch(transport, fields)
        self._log("a connection was opened", {**fields, "status": 101, "resumed": is_resumed})

    def joined(self, transport: Carrying) -> None:
        """The session has the transport: what it is given from now on is counted."""
        record = self._records.get(transport)
        if record is not None and transport.session is not None:
            transport.session = _CountedSession(transport.session, record)

    def gone(self, transport: object) -> None:
        """A socket has ended; nothing is said of one that was never opened."""
        record = self._records.pop(transport, None)
        if record is not None:
            fields = {
                **record.fields,
                "code": record.close_code,
                "duration_s": round(monotonic() - record.opened_at, 3),
                "frames_in": record.frames_in,
                "frames_out": record.frames_out,
            }
            self._log("a connection has ended", fields)

    def left(self, transport: object) -> tuple[float, int, int] | None:
        """A socket goes to another process, whose log tells of its end. Returns for how long it is open, in seconds, and how many
        frames came and went."""
        record = self._records.pop(transport, None)
        return None if record is None else (monotonic() - record.opened_at, record.frames_in, record.frames_out)

    def arrived(
        self,
        transport: Carrying,
        request: Request,
        connection_id: str,
        room_id: str,
        counted: tuple[float, int, int] | None,
    ) -> None:
        """A socket comes from another process, which has `counted` of it. The session has yet to take the transport, which has
        written what had not been sent; `joined` is called when it has."""
        record = self._watch(transport, _fields_of(request, connection_id, room_id))
        if counted is not None:
            open_s, record.frames_in, record.frames_out = counted
            record.opened_at -= open_s

    def refused(self, fields: dict[str, Any]) -> None:
        self._log("a request was refused", fields)

    def _watch(self, transport: Carrying, fields: dict[str, Any]) -> _Record:
        self._records[transport] = record = _Record(transport.write, fields)
        transport.write = record.write
        return record

    def _log(self, text: str, fields: dict[str, Any]) -> None:
        self._logger.log(self._level, text, extra=fields)


def _fields_of(request: Request, connection_id: str, room_id: str) -> dict[str, Any]:
    return {
        **whose(request.head, request.remote_address),
        "connection_id": connection_id,
        "room_id": shortened(room_id),
    }


class _Record:
    """What is known of one connection. `write` takes the place of its socket's."""

    __slots__ = ("_write", "close_code", "fields", "frames_in", "frames_out", "opened_at")

    def __init__(self, write: Callable[[bytes], object], fields: dict[str, Any]) -> None:
        self._write = write
        self.fields = fields
        self.opened_at = monotonic()
        self.frames_in = 0
        self.frames_out = 0
        self.close_code = _LOST

    def write(self, wire: bytes) -> object:
        position = 0
        while position < len(wire):
            short_size = wire[position + 1]
            payload_at = position + header_size(short_size)
            opcode = wire[position] & 0x0F
            if opcode <= BINARY:
                self.frames_out += 1
            elif opcode == CLOSE:
                code = wire[payload_at : payload_at + 2] if short_size else b""
                self.close_code = int.from_bytes(code) or EMPTY_CLOSE_CODE
            position = payload_at + payload_size(wire, position, short_size)
        return self._write(wire)


class _CountedSession:
    """A session, as its transport sees it, whose inbox counts."""

    __slots__ = ("_session", "inbox")

    def __init__(self, session: Any, record: _Record) -> None:
        self._session = session
        self.inbox = _CountedInbox(session.inbox, record)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


class _CountedInbox:
    __slots__ = ("_inbox", "_record")

    def __init__(self, inbox: Any, record: _Record) -> None:
        self._inbox = inbox
        self._record = record

    @property
    def behind(self) -> bool:
        return cast("bool", self._inbox.behind)

    def receive(self, opcode: int, payload: bytes) -> None:
        self._record.frames_in += 1
        self._inbox.receive(opcode, payload)

    def receive_rest(self, opcode: int, payload: bytes) -> None:
        self._record.frames_in += 1
        self._inbox.receive_rest(opcode, payload)


def whose(head: bytes | None, address: tuple[str, int] | None) -> dict[str, Any]:
    """Whose request it is. Its query is left out: it may hold a token."""
    fields: dict[str, Any] = {"remote_address": address_text(address)}
    if head is not None:
        request = Request(head, address)
        fields["method"], fields["path"] = shortened(request.method), shortened(request.path)
    return fields


def address_text(address: tuple[str, int] | None) -> str | None:
    if address is None:
        return None
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
