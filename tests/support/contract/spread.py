"""The contract's applications on two hosts of a cluster: two supervisors on this machine, and a NATS server between them."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.support.processes.nats_servers import nats_servers
from tests.support.processes.server_process import ServerProcess, serve_process
from wspulse.actors.mesh.placement import Placement

__all__ = ["SPREAD", "FirstOfSpread", "Spread", "Ways", "serve_spread"]


class Spread(int):
    """In the place of a number of workers: so many, half of them on each of two hosts."""

    def __repr__(self) -> str:
        return "2 hosts"


SPREAD = Spread(4)


class FirstOfSpread(Spread):
    """As that; but all is dialled on the first host."""


class Ways:
    """Whom to dial on which host: one after the other, but for ids that were made for a worker."""

    def __init__(self, hosts: list[ServerProcess], workers: int) -> None:
        self._hosts = hosts
        self._each = workers // len(hosts)
        self._placement = Placement(self._each)
        self._turns = itertools.cycle(range(len(hosts)))
        self._homes: dict[str, int] = {}

    def fits(self, connection_id: str, shard: int) -> bool:
        """Whether an id is one that this worker has, counted over all hosts; from then on it is dialled there."""
        host, own = divmod(shard, self._each)
        if fits := self._placement.shard_of(connection_id) == own:
            self._homes[connection_id] = host
        return fits

    def number_of(self, shard: int) -> int:
        """What its host calls it."""
        return shard % self._each

    def url(self, query: Mapping[str, Any]) -> str:
        host = self._homes.get(str(query.get("id")))
        return f"{self._hosts[next(self._turns) if host is None else host].url}?{urlencode(query)}"


@contextmanager
def serve_spread(
    *args: str, workers: int, env: Mapping[str, str] | None = None, cwd: Path
) -> Iterator[list[ServerProcess]]:
    """The hosts, ready."""
    with tempfile.TemporaryDirectory(prefix="wspulse-nats-") as folder, ExitStack() as stack:
        nats = stack.enter_context(nats_servers(Path(folder)))
        hosts = [
            stack.enter_context(serve_process(*args, "--cluster", nats.url, workers=workers // 2, env=env, cwd=cwd))
            for _ in range(2)
        ]
        yield hosts
