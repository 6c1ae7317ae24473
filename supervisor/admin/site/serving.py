"""`serve`: the life of the process that serves the admin address, from its loop's start to SIGTERM.

Called by the process's entry. It puts together the client of the control socket, the application and uvicorn's protocol class,
and cuts everybody off at the end: nothing that is served here is worth waiting for.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from wspulse.supervisor.admin.site.access import Access
from wspulse.supervisor.admin.site.application import AdminApplication
from wspulse.supervisor.admin.site.guarded import Guard, guarded
from wspulse.supervisor.admin.spec import AdminSpec
from wspulse.supervisor.client.asynchronous import AsyncControl
from wspulse.supervisor.settings.admin_address import is_loopback

__all__ = ["serve", "served"]

KEEP_ALIVE_S = 15
"""Prometheus and probes come every 10 s or so."""

LAST_ANSWERS_S = 0.5
"""For what is answered to nobody any more; the supervisor waits for a second."""


async def serve(spec: AdminSpec) -> None:
    """Serve until SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    # What it warns of are requests that cannot be read: anybody may send them.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    async with served(spec):
        await ended.wait()


@asynccontextmanager
async def served(spec: AdminSpec) -> AsyncIterator[Guard]:
    """Serve in the running loop until the block ends; the listener stays open."""
    access = Access(spec.token, is_local=is_loopback(spec.listener.getsockname()[0]))
    async with AsyncControl.at(spec.control) as control:
        application = AdminApplication(control, access)
        config = Config(
            application,
            log_config=None,
            access_log=False,
            ws="none",
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        config.load()
        guard = Guard()
        protocol_class = guarded(HttpToolsProtocol, guard)
        state = ServerState()

        def make() -> asyncio.Protocol:
            protocol: asyncio.Protocol = protocol_class(config=config, server_state=state, app_state={})
            return protocol

        server = await asyncio.get_running_loop().create_server(make, sock=spec.listener.dup())
        guard.begin()
        try:
            yield guard
        finally:
            server.close()
            guard.end()
            await application.close()
            control.close()  # an order that is under way has its answer
            if state.tasks:
                await asyncio.wait(state.tasks, timeout=LAST_ANSWERS_S)
