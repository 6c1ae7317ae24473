"""What the contract's end-to-end tests share: a server with the contract's application, its clients and its notes."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.support.eventually import eventually
from tests.support.server_process import ServerProcess, serve_process, serve_uvicorn
from wspulse.actors.mesh.placement import Placement

__all__ = [
    "MOUNTED",
    "Client",
    "ContractServer",
    "Mounted",
    "Notes",
    "ServedApplication",
    "contract_server",
    "served_source",
]

DEADLINE_S = 10.0
"""For anything that should happen at once, on a machine that is busy with something else."""

ROOT = Path(__file__).parents[2]

_numbers = itertools.count(1)


class Mounted(int):
    """In the place of a number of workers: one process of uvicorn, in which the server is mounted."""

    def __repr__(self) -> str:
        return "mounted"


MOUNTED = Mounted(1)


class Notes:
    """What the application noted of its callbacks, in all workers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = 0
        self._entries: dict[str, list[dict[str, Any]]] = {}

    def _read(self) -> dict[str, list[dict[str, Any]]]:
        """All entries by connection id; only what is new is read."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._read_bytes)
                new = file.read()
            # A line that is being written now is for the next time.
            new = new[: new.rfind(b"\n") + 1]
            for line in new.splitlines():
                entry = json.loads(line)
                self._entries.setdefault(entry["id"], []).append(entry)
            self._read_bytes += len(new)
        return self._entries

    def of(self, connection_id: str) -> list[dict[str, Any]]:
        """The entries of one connection id, in their order."""
        return self._read().get(connection_id, [])

    def kinds(self, connection_id: str) -> list[str]:
        return [entry["kind"] for entry in self.of(connection_id)]

    def count(self, kind: str, prefix: str) -> int:
        """How many entries of a kind there are for the ids that begin with `prefix`."""
        return sum(
            entry["kind"] == kind
            for connection_id, entries in self._read().items()
            if connection_id.startswith(prefix)
            for entry in entries
        )

    async def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait until the notes (or anything else) fulfil a condition."""
        return await eventually(condition, what, DEADLINE_S)

    async def ended(self, connection_id: str) -> dict[str, Any]:
        """Wait for the session's on_disconnect, and return its entry."""
        await self.until(lambda: "disconnect" in self.kinds(connection_id), f"{connection_id} has an on_disconnect")
        return next(entry for entry in self.of(connection_id) if entry["kind"] == "disconnect")

    async def has(self, connection_id: str, kind: str, times: int = 1) -> None:
        await self.until(
            lambda: self.kinds(connection_id).count(kind) >= times, f"{connection_id} has {times} × {kind}"
        )


class Client:
    """A WebSocket client that keeps what came, and gives orders to the application."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, code: int = 1000) -> None:
        await self.socket.close(code)

    def drop(self) -> None:
        """Cut the socket, without a close frame."""
        self.socket.transport.abort()

    async def send(self, event: str, payload: Any = None, number: str = "") -> None:
        await self.socket.send(json.dumps({"event": event, "payload": payload, "id": number}))

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            frame: dict[str, Any] = json.loads(await self.socket.recv())
            return frame

    async def expect(self, event: str) -> Any:
        """The payload of the next frame, which must have this event."""
        frame = await self.receive()
        assert frame.get("event") == event, f"expected {event!r}, got {frame!r}"
        return frame.get("payload")

    async def order(self, op: str, **arguments: Any) -> Any:
        """Have the application do something in this client's worker, and return its result.

        Frames that come before the answer are passed over.
        """
        number = await self.order_only(op, **arguments)
        return await self.answer(number)

    async def order_only(self, op: str, **arguments: Any) -> str:
        number = str(next(_numbers))
        await self.send("do", {"op": op, **arguments}, number)
        return number

    async def answer(self, number: str) -> Any:
        async with asyncio.timeout(4 * DEADLINE_S):
            while True:
                frame = json.loads(await self.socket.recv())
                if frame.get("event") == "done" and frame.get("id") == number:
                    return frame.get("payload")

    async def closed(self) -> tuple[int, str]:
        """Wait for the end of the socket, and return the code and reason of its close frame (1006: there was none)."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    await self.socket.recv()
        except ConnectionClosed as end:
            return (end.rcvd.code, end.rcvd.reason) if end.rcvd is not None else (1006, "")


class ServedApplication:
    """A running server, and how its tests dial it."""

    def __init__(self, process: ServerProcess, workers: int) -> None:
        self.process = process
        self.workers = workers
        self._placement = Placement(workers)

    def new_id(self, prefix: str = "c", shard: int | None = None) -> str:
        """A connection id that nobody has, owned by `shard` (modulo the workers) if that is given."""
        while True:
            connection_id = f"{prefix}-{next(_numbers)}-{os.urandom(3).hex()}"
            if shard is None or self._placement.shard_of(connection_id) == shard % self.workers:
                return connection_id

    def url(self, **query: Any) -> str:
        return f"{self.process.url}?{urlencode(query)}"

    async def client(self, connection_id: str = "", *, offer: Sequence[str] = (), **query: Any) -> Client:
        """Connect, and offer these subprotocols. websockets' InvalidStatus when the upgrade is refused."""
        # A client under test says nothing by itself, and takes all that comes.
        socket = await connect(
            self.url(id=connection_id, **query),
            subprotocols=[Subprotocol(name) for name in offer] or None,
            ping_interval=None,
            max_queue=None,
            open_timeout=DEADLINE_S,
            compression=None,
            proxy=None,
        )
        return Client(socket)


class ContractServer(ServedApplication):
    """A running server with the contract's application."""

    def __init__(self, process: ServerProcess, workers: int, notes: Notes) -> None:
        super().__init__(process, workers)
        self.notes = notes

    async def client(self, connection_id: str = "", room: str = "lobby", **query: Any) -> Client:
        return await super().client(connection_id, room=room, **query)

    async def suspended(self, name: str, room: str, **query: object) -> None:
        """Make a session and cut its socket."""
        await self.drop(await self.client(name, room, **query), name)

    async def drop(self, client: Client, connection_id: str) -> None:
        """Cut a client's socket, and wait until the server has noticed."""
        drops = self.notes.kinds(connection_id).count("drop")
        client.drop()
        await self.notes.has(connection_id, "drop", drops + 1)

    async def clients_on_all_shards(self, room: str) -> list[Client]:
        """One client in each worker."""
        return [await self.client(self.new_id("all", shard), room) for shard in range(self.workers)]


@contextmanager
def served_source(source: str, folder: Path, workers: int) -> Iterator[ServedApplication]:
    """Serve what this module, written into `folder`, names `server`; mounted, what it names `asgi`."""
    (folder / "app.py").write_text(source)
    if isinstance(workers, Mounted):
        with serve_uvicorn("app:asgi", cwd=folder) as process:
            yield ServedApplication(process, workers)
    else:
        with serve_process("--app", "app:server", workers=workers, cwd=folder) as process:
            yield ServedApplication(process, workers)


@contextmanager
def contract_server(
    workers: int, *args: str, env: Mapping[str, str] | None = None, **options: Any
) -> Iterator[ContractServer]:
    """Start the contract's application with these options of `Server`."""
    with tempfile.TemporaryDirectory(prefix="wspulse-contract-") as folder:
        log = Path(folder) / "notes"
        log.touch()
        env = {
            **(env or {}),
            "CONTRACT_LOG": str(log),
            "CONTRACT_OPTIONS": json.dumps(options),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        if isinstance(workers, Mounted):
            with serve_uvicorn("tests.support.contract_asgi:app", env=env, cwd=ROOT) as process:
                yield ContractServer(process, workers, Notes(log))
            return
        options_of_app = ["--app", "tests.support.contract_app:server", *args]
        is_loaded = bool(os.environ.get("CONTRACT_HTTP_LOAD")) and "--http-app" not in args
        if is_loaded:
            options_of_app += ["--http-app", "tests.support.http_app:app", "--log-level", "warning"]
        with (
            serve_process(*options_of_app, workers=workers, env=env, cwd=ROOT) as process,
            http_load(process.port) if is_loaded else nullcontext(),
        ):
            yield ContractServer(process, workers, Notes(log))


@contextmanager
def http_load(port: int) -> Iterator[None]:
    """With CONTRACT_HTTP_LOAD the contract is tested while the servers answer HTTP requests as fast as they can."""
    command = [sys.executable, "-m", "bench.support.http_load", str(port), "3600", "4"]
    # It ends with its server, in the middle of a request.
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()
