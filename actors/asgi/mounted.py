"""`Mounted`: the deployment of a server that lives in somebody else's process, under an ASGI server.

Created by the server when it is first asked for its ASGI application. It starts the one shard of this process with the
application's lifespan, or with the first call or connection that needs it where no lifespan reaches us, and stops it with
1001 to all. While another runtime has this process's server, calls are that one's.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import Context
from logging import Logger
from multiprocessing import current_process
from typing import Any

from wspulse.actors.accept.pages import client_pages
from wspulse.actors.asgi.early_farewell import EarlyFarewell
from wspulse.actors.asgi.http import NO_PAGES
from wspulse.actors.calls.in_process import InProcess
from wspulse.actors.runtime.closing import PATIENCE_S
from wspulse.actors.runtime.runtime import ShardRuntime
from wspulse.actors.runtime.served import Served
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.sessions.connections.member import Member
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.request import Request
from wspulse.actors.values.text.ids import NOBODY
from wspulse.actors.wire.handshake import Pages

__all__ = ["Mounted", "one_of_several"]


class Mounted:
    """See the module, and `Deployment` for what its calls promise. Belongs to the loop in which it was started; on another
    loop it starts anew."""

    def __init__(self, server: Served[ShardRuntime], in_process: InProcess) -> None:
        self._server = server
        self._in_process = in_process
        self._runtime: ShardRuntime | None = None
        self._starting: asyncio.Future[ShardRuntime] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lifespans = 0
        self._incarnation = 0
        self._farewell = EarlyFarewell(self._drain)

    @property
    def logger(self) -> Logger:
        return self._server.options.logger

    @property
    def pages(self) -> Pages:
        """What is answered to a GET beside the WebSocket."""
        return client_pages() if self._server.options.client else NO_PAGES

    @property
    def connect(self) -> Callable[[Request], Any]:
        return self._server.checked_connect()

    # Calls.

    def running(self) -> ShardRuntime:
        return self._in_process.runtime or self._in_process.running()

    def send(self, connection_id: str, frame: Frame) -> Awaitable[None] | None:
        if self._is_started():
            return self._in_process.send(connection_id, frame)
        return self._start_and(lambda: self._in_process.send(connection_id, frame))

    def broadcast(self, room_id: str, frame: Frame, exclude: Iterable[str] = NOBODY) -> Awaitable[None] | None:
        if self._is_started():
            return self._in_process.broadcast(room_id, frame, exclude)
        return self._start_and(lambda: self._in_process.broadcast(room_id, frame, exclude))

    async def kick(self, connection_id: str, code: int, reason: str) -> None:
        if not self._is_started():
            await self.started()
        await self._in_process.kick(connection_id, code, reason)

    async def presence(self, room_id: str) -> list[Member]:
        if not self._is_started():
            await self.started()
        return await self._in_process.presence(room_id)

    async def get_connections(self, room_id: str) -> list[Connection]:
        if not self._is_started():
            await self.started()
        return await self._in_process.get_connections(room_id)

    def _is_started(self) -> bool:
        """Whether calls can be made: to our runtime in its loop, or to another one, which is not ours to start. To ours from
        another thread as well, which is refused there."""
        runtime = self._in_process.runtime
        if runtime is None:
            return False
        if runtime is not self._runtime:
            return True
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return True
        return loop is self._loop or (self._is_needed() and self._loop is not None and self._loop.is_running())

    async def _start_and(self, call: Callable[[], Awaitable[None] | None]) -> None:
        await self.started()
        pending = call()
        if pending is not None:
            await pending

    # Start and stop.

    async def started(self, *, in_lifespan: bool = False) -> ShardRuntime:
        """This process's runtime, started when it was not: for everybody, so in nobody's context but a lifespan's. Raises what
        on_start raises, and RuntimeError where it runs in another event loop."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None and not self._loop.is_closed() and self._is_needed():
                raise RuntimeError(
                    "wspulse: this server is running in another event loop; with a test client, write "
                    "`with TestClient(app) as client`"
                )
            self._loop = loop
            self._forget()
        if self._runtime is not None:
            return self._runtime
        if self._starting is None:
            self._starting = loop.create_future()
            try:
                starts = self._start()
                self._runtime = await (starts if in_lifespan else loop.create_task(starts, context=Context()))
            except BaseException as error:
                starting, self._starting = self._starting, None
                starting.set_exception(
                    error if isinstance(error, Exception) else RuntimeError("wspulse: the server did not start")
                )
                starting.exception()  # whoever waits gets it too, and nobody need wait
                raise
            self._starting.set_result(self._runtime)
            self._starting = None
            return self._runtime
        return await asyncio.shield(self._starting)

    async def start(self) -> bool:
        """A lifespan begins. False where this process runs the server by itself and carries the application: then there is
        nothing to stop. Raises what on_start raises."""
        other = self._in_process.runtime
        if other is not None and other is not self._runtime and not other.closing.server_closing:
            return False
        if (
            self._loop is asyncio.get_running_loop()
            and self._runtime is not None
            and self._runtime.closing.server_closing
        ):
            self._forget()
        await self.started(in_lifespan=True)
        self._lifespans += 1
        return True

    async def stop(self) -> None:
        """A lifespan ends; with the last one every session ends with 1001, and on_stop runs. Callbacks have 10 s to end."""
        self._lifespans -= 1
        runtime = self._runtime
        if self._lifespans or runtime is None:
            return
        self._farewell.unchain()
        await runtime.end(PATIENCE_S)

    async def _start(self) -> ShardRuntime:
        self._server.checked_connect()
        self._incarnation += 1
        runtime = ShardRuntime(self._server, shard=0, workers=1, incarnation=self._incarnation, path="")
        try:
            await runtime.start()
        except BaseException:
            # The process lives on, and the next lifespan or connection may try again.
            await runtime.stop()
            raise
        if one_of_several(sys.argv, os.environ):
            self.logger.warning(
                "several processes serve this application, each on its own: the rooms, sessions and broadcasts of one do not "
                'reach the others. Run one process, or run `wspulse serve` and use server.asgi(join="ipc://…control.sock")'
            )
        self._farewell.chain()
        return runtime

    def _is_needed(self) -> bool:
        return self._lifespans > 0 or (self._runtime is not None and self._runtime.connections > 0)

    def _forget(self) -> None:
        """The runtime's loop has ended with it, or it has closed: the server may run again."""
        if self._runtime is not None:
            self._runtime.closing.server_closing = True
        self._runtime = self._starting = None
        self._lifespans = 0
        self._farewell.renew(self._loop)

    async def _drain(self) -> None:
        if self._runtime is not None:
            await self._runtime.drain()


def one_of_several(arguments: Sequence[str], environ: Any) -> bool:
    """Whether an ASGI server's command line, or the variable that they share, asks for more than one process. Children
    of uvicorn, hypercorn and gunicorn see the arguments of their parent."""
    counts = [environ.get("WEB_CONCURRENCY", "")]
    for number, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name in ("--workers", "-w"):
            counts.append(value if equals else "".join(arguments[number + 1 : number + 2]))
        elif argument.startswith("-w"):
            counts.append(argument[2:])
    if any(count.isdecimal() and int(count) > 1 for count in counts):
        return True
    # uvicorn.run(workers=4) in a program of one's own: its children are started with its configuration.
    config = getattr(current_process(), "_kwargs", {}).get("config")
    return getattr(config, "workers", 1) > 1 and not getattr(config, "reload", False)
