"""Request heads of an upgrade, right or wrong in one thing."""

from __future__ import annotations

KEY = "dGhlIHNhbXBsZSBub25jZQ=="

GOOD_FIELDS = {
    "Host": "127.0.0.1:8000",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


def request_head(line: str = "GET /ws HTTP/1.1", *more_lines: str | bytes, without: str = "", **changes: str) -> bytes:
    """A head with the good fields, with some of them changed (`Sec_WebSocket_Key=`), left out, or more lines."""
    fields = GOOD_FIELDS | {name.replace("_", "-"): value for name, value in changes.items()}
    fields.pop(without, None)
    lines = [line, *(f"{name}: {value}" for name, value in fields.items()), *more_lines]
    return b"\r\n".join(line if isinstance(line, bytes) else line.encode() for line in lines)
