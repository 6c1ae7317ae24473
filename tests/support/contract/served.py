"""Any application, served by one worker, by four, or mounted, and how its tests dial it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.support.contract.client import DEADLINE_S, Client, numbers
from tests.support.contract.spread import Spread, Ways, serve_spread
from tests.support.processes.server_process import ServerProcess, serve_process, serve_uvicorn
from wspulse.actors.mesh.placement import Placement

__all__ = ["MOUNTED", "Mounted", "ServedApplication", "served_source"]


class Mounted(int):
    """In the place of a number of workers: one process of uvicorn, in which the server is mounted."""

    def __repr__(self) -> str:
        return "mounted"


MOUNTED = Mounted(1)


class ServedApplication:
    """A running server, and how its tests dial it."""

    def __init__(self, process: ServerProcess, workers: int, ways: Ways | None = None) -> None:
        """`ways` where there are several hosts, of which `process` is the first."""
        self.process = process
        self.workers = workers
        self._placement = Placement(workers)
        self._ways = ways

    def new_id(self, prefix: str = "c", shard: int | None = None) -> str:
        """A connection id that nobody has, owned by `shard` (modulo the workers) if that is given."""
        while True:
            connection_id = f"{prefix}-{next(numbers)}-{os.urandom(3).hex()}"
            if shard is None or self._fits(connection_id, shard % self.workers):
                return connection_id

    def _fits(self, connection_id: str, shard: int) -> bool:
        if self._ways is not None:
            return self._ways.fits(connection_id, shard)
        return self._placement.shard_of(connection_id) == shard

    def number_of(self, shard: int) -> int:
        """By which people know a worker: each host counts its own."""
        return shard if self._ways is None else self._ways.number_of(shard)

    def url(self, **query: Any) -> str:
        return f"{self.process.url}?{urlencode(query)}" if self._ways is None else self._ways.url(query)

    async def client(
        self,
        connection_id: str = "",
        *,
        offer: Sequence[str] = (),
        extensions: Sequence[Any] = (),
        **query: Any,
    ) -> Client:
        """Connect, and offer these subprotocols and extensions. websockets' InvalidStatus when the upgrade is refused."""
        # A client under test says nothing by itself, and takes all that comes.
        socket = await connect(
            self.url(id=connection_id, **query),
            subprotocols=[Subprotocol(name) for name in offer] or None,
            ping_interval=None,
            max_queue=None,
            open_timeout=DEADLINE_S,
            extensions=list(extensions) or None,
            compression=None,
            proxy=None,
        )
        return Client(socket)


@contextmanager
def served_source(source: str, folder: Path, workers: int) -> Iterator[ServedApplication]:
    """Serve what this module, written into `folder`, names `server`; mounted, what it names `asgi`."""
    (folder / "app.py").write_text(source)
    if isinstance(workers, Mounted):
        with serve_uvicorn("app:asgi", cwd=folder) as process:
            yield ServedApplication(process, workers)
    elif isinstance(workers, Spread):
        with serve_spread("--app", "app:server", workers=workers, cwd=folder) as hosts:
            yield ServedApplication(hosts[0], workers, Ways(hosts, workers))
    else:
        with serve_process("--app", "app:server", workers=workers, cwd=folder) as process:
            yield ServedApplication(process, workers)
