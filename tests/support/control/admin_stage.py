"""The admin address in the test's own loop, over a whole control plane in front of pretended shards; and a client for it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.control.control_stage import ControlStage, control_stage
from wspulse.supervisor.admin.site.guarded import Guard
from wspulse.supervisor.admin.site.serving import served
from wspulse.supervisor.admin.spec import AdminSpec
from wspulse.supervisor.admin.token_file import TokenFile

__all__ = ["TOKEN", "AdminStage", "Asked", "Look", "admin_stage", "ask"]

TOKEN = "a-token-of-the-tests-0"

SHOWN = {"Authorization": f"Bearer {TOKEN}"}

DEADLINE_S = 20.0


class Asked(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


async def ask(
    port: int, path: str, method: str = "GET", *, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> Asked:
    """One request on a connection of its own."""
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(_request(port, path, method, headers or {}, body))
            head = await reader.readuntil(b"\r\n\r\n")
            status, fields = _head(head)
            return Asked(status, fields, await reader.read())
        finally:
            writer.close()


def _request(port: int, path: str, method: str, headers: Mapping[str, str], body: bytes) -> bytes:
    fields = {"Host": f"127.0.0.1:{port}", "Connection": "close"}
    if body or method == "POST":
        fields["Content-Length"] = str(len(body))
    fields |= headers
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").rstrip().split("\r\n")
    pairs = (line.partition(": ") for line in lines)
    return int(first.split()[1]), {name.lower(): value for name, _, value in pairs}


class Look:
    """A viewer of `/api/look`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def next(self) -> dict[str, Any]:
        """What comes next. EOFError when the stream has ended."""
        async with asyncio.timeout(DEADLINE_S):
            while not (line := await self.reader.readline()).startswith(b"data: "):
                if not line:
                    raise EOFError
            found: dict[str, Any] = json.loads(line[6:])
            return found


class AdminStage:
    """Made by `admin_stage`."""

    def __init__(self, control: ControlStage, port: int, guard: Guard) -> None:
        self.control = control
        self.port = port
        self.guard = guard

    async def get(self, path: str, **headers: str) -> Asked:
        return await ask(self.port, path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    async def order(self, name: str, body: Any, **headers: str) -> Asked:
        """With the token, as the page does; `headers` beside or instead."""
        fields = {"Content-Type": "application/json", **SHOWN}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        fields = {name: value for name, value in fields.items() if value}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await ask(self.port, f"/api/{name}", "POST", headers=fields, body=data)

    @asynccontextmanager
    async def look(self) -> AsyncIterator[Look]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=4 * 1024 * 1024)
        try:
            writer.write(_request(self.port, "/api/look", "GET", {}, b""))
            status, _ = _head(await reader.readuntil(b"\r\n\r\n"))
            assert status == 200, status
            yield Look(reader, writer)
        finally:
            writer.close()


@asynccontextmanager
async def admin_stage(folder: Path, *, has_token: bool = True, **settings: Any) -> AsyncIterator[AdminStage]:
    """`settings` are the control stage's."""
    token = None
    if has_token:
        path = folder / "token"
        path.write_text(f"{TOKEN}\n")
        token = TokenFile(str(path))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        async with control_stage(folder, **settings) as control:
            spec = AdminSpec(listener, control.plane.own_address(), token, "info", "text")
            async with served(spec) as guard:
                yield AdminStage(control, int(listener.getsockname()[1]), guard)
