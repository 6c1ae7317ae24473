"""A mounted server in uvicorn's own processes: how it ends, and what it says when there are several."""

from __future__ import annotations

import os
import signal
import sys

from tests.support.contract.served import MOUNTED
from tests.support.contract.server import ROOT, contract_server
from tests.support.processes.server_process import START_DEADLINE_S, serve_uvicorn, wait_until


async def test_end_of_uvicorn_says_1001_to_all_before_it_closes_their_sockets() -> None:
    with contract_server(MOUNTED, resume_window=30) as server:
        suspended = server.new_id("suspended")
        client = await server.client(suspended)
        client.drop()
        await server.notes.has(suspended, "drop")
        names = [server.new_id() for _ in range(20)]
        clients = [await server.client(name) for name in names]
        server.process.terminate()
        for client in clients:
            assert await client.closed() == (1001, "server shutting down")
        assert server.process.wait() in (0, -signal.SIGTERM)
        for name in (*names, suspended):
            assert (await server.notes.ended(name))["error"] == "ServerClosedError"
            assert server.notes.kinds(name).count("disconnect") == 1


def test_several_processes_are_told_that_each_is_alone(tmp_path: os.PathLike[str]) -> None:
    env = {"CONTRACT_LOG": f"{tmp_path}/notes", "PYTHONPATH": os.pathsep.join(sys.path)}
    with serve_uvicorn("tests.support.contract.application.asgi:app", "--workers", "2", env=env, cwd=ROOT) as process:
        # uvicorn's parent is "running" before its children are.
        wait_until(lambda: 'server.asgi(join="ipc://' in process.stderr(), START_DEADLINE_S, "they were told")
