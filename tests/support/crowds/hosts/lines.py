"""Lines of `wspulse.client` and `wspulse.js` that are cut at random, and come back on one host after the other.

They are those of `scripts/exact-crowd`, and their books are held against the same; its application notes transfers, too.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.contract.spread import serve_spread
from tests.support.crowds.exact_crowd import APP, OPTIONS, Crowd, Outcome, exact_crowd
from tests.support.processes.node import VERSIONS, node_of
from tests.support.processes.server_process import ServerProcess

__all__ = ["LANGUAGES", "walking_lines", "with_lines"]

LANGUAGES = ("py", "js") if any(node_of(version) for version in VERSIONS) else ("py",)
"""Those that can run here."""

_TRANSFERS = """

@server.on_transfer_out
async def out(connection: Connection) -> None:
    _note("transfer out", connection.id, connection.state["key"])


@server.on_transfer_in
async def come(connection: Connection) -> None:
    _note("transfer in", connection.id, connection.state["key"])
"""


@contextmanager
def with_lines(folder: Path, workers: int = 2) -> Iterator[list[ServerProcess]]:
    """Two hosts with the application, whose notes are in the folder."""
    (folder / "app.py").write_text(APP.read_text() + _TRANSFERS)
    with serve_spread("--app", "app:server", *OPTIONS, workers=2 * workers, cwd=folder) as hosts:
        yield hosts


async def walking_lines(hosts: list[ServerProcess], folder: Path, crowd: Crowd) -> tuple[Outcome, Counter[str]]:
    """Also the walks of each client: its sessions have left one host as often as they have come to another."""
    outcome = await exact_crowd(hosts[0], folder, crowd, others=hosts[1:])
    counts = await asyncio.to_thread(_transfers, folder)
    assert counts["transfer out"] == counts["transfer in"], counts
    return outcome, counts["transfer in"]


def _transfers(folder: Path) -> dict[str, Counter[str]]:
    counts = {"transfer out": Counter[str](), "transfer in": Counter[str]()}
    for path in folder.glob("notes-*"):
        for line in path.read_text().splitlines():
            what, client, *_ = json.loads(line)
            if what in counts:
                counts[what][client] += 1
    return counts
