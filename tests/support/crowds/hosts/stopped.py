"""A host that is stopped for longer than its lease lasts, while an id of it is taken on the other host; then it goes on.

What clients of the stopped host have sent meanwhile is in its sockets when it goes on, before it could hear of anything: it is
handled where the id is still that host's, and nothing of it where it is not.
"""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress

import psutil
from websockets.exceptions import InvalidStatus

from tests.support.contract.client import Client
from tests.support.contract.exact_client import ExactClient
from tests.support.contract.server import ContractServer

__all__ = ["stopped_host"]

_TAKEN_WITHIN_S = 30.0


async def stopped_host(hosts: list[ContractServer], *, stopped_s: float = 15.0) -> None:
    here, there = hosts
    notes = here.notes
    taken, kept, exact = here.new_id("taken"), here.new_id("kept"), here.new_id("exact")
    old, stays = await here.client(taken), await here.client(kept)
    exact_stays = ExactClient(here.url(id=exact))
    await exact_stays.dial()
    processes = _processes(here)
    began = time.monotonic()
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        for client, _ in ((old, taken), (stays, kept), (exact_stays, exact)):
            for number in range(3):
                await client.send("note", number)
        new = await _come(there, taken)
        await new.send("note", "on the other host")
        await notes.until(lambda: "on the other host" in _said(there, taken), "it is handled")
        await asyncio.sleep(max(0.0, began + stopped_s - time.monotonic()))
    finally:
        # The workers first: nobody tells them anything when they go on.
        for process in reversed(processes):
            process.send_signal(signal.SIGCONT)
    assert await old.closed() == (1000, "duplicate connection id")
    await notes.has(taken, "disconnect")
    for name in (kept, exact):
        await notes.has(name, "message", 3)
        assert _said(here, name) == [0, 1, 2]
    await exact_stays.acked(3)
    assert _said(here, taken) == ["on the other host"], notes.of(taken)
    kinds = [kind for kind in notes.kinds(taken) if kind != "drop"]
    assert kinds == ["connect", "connect", "message", "disconnect"], kinds
    for client in (stays, new):
        await client.order("where")
        await client.close()
    await exact_stays.socket.close()


async def _come(host: ContractServer, name: str) -> Client:
    """When the other host counts as gone."""
    async with asyncio.timeout(_TAKEN_WITHIN_S):
        while True:
            with suppress(InvalidStatus, TimeoutError):
                return await host.client(name)


def _processes(host: ContractServer) -> list[psutil.Process]:
    """All of a host, the supervisor first."""
    supervisor = psutil.Process(host.process.pid)
    return [supervisor, *supervisor.children(recursive=True)]


def _said(host: ContractServer, name: str) -> list[object]:
    return [entry["detail"] for entry in host.notes.of(name) if entry["kind"] == "message"]
