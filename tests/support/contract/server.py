"""A server with the contract's application, whose callbacks are in its notes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from tests.support.contract.client import Client
from tests.support.contract.notes import Notes
from tests.support.contract.served import Mounted, ServedApplication
from tests.support.contract.spread import FirstOfSpread, Spread, Ways, serve_spread
from tests.support.processes.server_process import ServerProcess, serve_process, serve_uvicorn

__all__ = ["ContractServer", "contract_server"]

ROOT = Path(__file__).parents[3]


class ContractServer(ServedApplication):
    """A running server with the contract's application."""

    def __init__(self, process: ServerProcess, workers: int, notes: Notes, ways: Ways | None = None) -> None:
        super().__init__(process, workers, ways)
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
            with serve_uvicorn("tests.support.contract.application.asgi:app", env=env, cwd=ROOT) as process:
                yield ContractServer(process, workers, Notes(log))
            return
        options_of_app = ["--app", "tests.support.contract.application.app:server", *args]
        if isinstance(workers, Spread):
            with serve_spread(*options_of_app, workers=workers, env=env, cwd=ROOT) as hosts:
                if isinstance(workers, FirstOfSpread):
                    yield ContractServer(hosts[0], workers // len(hosts), Notes(log))
                else:
                    yield ContractServer(hosts[0], workers, Notes(log), Ways(hosts, workers))
            return
        is_loaded = bool(os.environ.get("CONTRACT_HTTP_LOAD")) and "--http-app" not in args
        if is_loaded:
            options_of_app += ["--http-app", "tests.support.http.http_app:app", "--log-level", "warning"]
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
