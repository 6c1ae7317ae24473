"""`serve`: a server for the length of a block, in this process or as processes of its own, for async and plain tests.

async with serve(server) as running: ...                     in this process and loop
async with serve("chat:server", workers=2) as running: ...   supervisor and workers as processes
with serve(server) as running: ...                           either one without async; the loop runs in a thread
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from wspulse.actors.server import Server
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.testing.blocking import BlockingServer, LoopThread
from wspulse.actors.testing.client import Client
from wspulse.actors.testing.process import ServerProcess
from wspulse.actors.testing.running import RunningServer
from wspulse.actors.values.codec import Codec, JSONCodec

__all__ = ["serve"]

DEFAULT_TIMEOUT_S = 5.0
"""Long against anything that a healthy server does on a loaded machine, short against a test run."""

_FAREWELL_S = 1.0
"""For the close frames of clients that are still connected when the block ends."""


class serve:  # noqa: N801  (it is used like a function)
    """Run a server for a block: a `Server` in this process, or "module:attr" as supervisor and workers.

    `async with` gives a RunningServer, `with` a BlockingServer, which has the same methods without await. `timeout` is how long
    clients wait at most, in seconds, unless a call says otherwise. `codec` is the clients' (default: that of the Server object;
    JSON for processes). For processes: `workers`, `arguments` for the command line, `env` added to the environment (None
    removes a variable), `cwd` (default: the current folder). They use this process's `sys.path`.

    Raises ValueError for arguments that do not go together. Entering raises what starting raises, and RuntimeError with the log
    if the processes do not start; leaving raises RuntimeError if a handler does not end.

    If a callback of a `Server` raises something that is not an Exception, as `pytest.fail()` and `pytest.skip()` do, its
    session ends as with any error, and it is raised again when the block is left: the test's outcome. If another exception
    leaves the block, that gets a note about it. SystemExit is not raised again; KeyboardInterrupt is under `with`, and goes on
    at once under `async with`.
    """

    def __init__(
        self,
        target: Server | str,
        *,
        path: str = "/ws",
        timeout: float = DEFAULT_TIMEOUT_S,
        codec: Codec | None = None,
        workers: int | None = None,
        arguments: Sequence[str] = (),
        env: Mapping[str, str | None] | None = None,
        cwd: str | Path | None = None,
    ) -> None:
        if isinstance(target, Server):
            if workers not in (None, 1) or arguments or env or cwd is not None:
                raise ValueError(
                    "wspulse: serve: a Server object runs in this process, as one worker; "
                    'workers, arguments, env and cwd are for "module:attr"'
                )
        elif not isinstance(target, str):
            raise ValueError(f'wspulse: serve: {target!r} is neither a Server nor "module:attr"')
        self._target = target
        self._path = path
        self._timeout_s = timeout
        self._codec = codec
        self._arguments = ["--path", path, "--workers", str(workers or 1), *arguments]
        self._env = env or {}
        self._cwd = cwd
        self._stack: AsyncExitStack | None = None
        self._thread: LoopThread | None = None
        self._outcome: BaseException | None = None
        """The first that a callback raised for the test."""

    async def __aenter__(self) -> RunningServer:
        if self._stack is not None:
            raise RuntimeError("wspulse: serve: already running")
        async with AsyncExitStack() as stack:
            process = find = None
            if isinstance(self._target, Server):
                find = partial(_connection_from, self._target)
                codec = self._codec or self._target.options.codec
                # `_close` loses its patience first, and says so.
                serving = self._target.serve(path=self._path, patience_s=self._timeout_s + 2 * _FAREWELL_S)
                url = (await stack.enter_async_context(serving)).url
                shard = self._target._running().shard
                shard.outcome = partial(self._note_outcome, shard.outcome)
            else:
                codec = self._codec or JSONCodec()
                process = ServerProcess(self._target, self._arguments, self._env, self._cwd)
                stack.push_async_callback(process.stop)
                url = await process.start()
            running = RunningServer(url, codec, self._timeout_s, process, find)
            stack.push_async_callback(_say_goodbye, running.clients)
            self._stack = stack.pop_all()
        return running

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._close()
        finally:
            self._raise_outcome(error)

    async def _close(self) -> None:
        stack, self._stack = self._stack, None
        assert stack is not None
        if not isinstance(self._target, Server):
            await stack.aclose()
            return
        try:
            # The server waits for its handlers as long as they take. When its patience is cut short it cancels them.
            async with asyncio.timeout(self._timeout_s + _FAREWELL_S):
                await stack.aclose()
        except TimeoutError:
            raise RuntimeError(
                f"wspulse: serve: a handler was still running {self._timeout_s:g} s after the end of the block; it was cancelled"
            ) from None

    def __enter__(self) -> BlockingServer:
        if self._thread is not None:
            raise RuntimeError("wspulse: serve: already running")
        thread = LoopThread()
        try:
            server = BlockingServer(thread.run(self.__aenter__()), thread)
        except BaseException:
            thread.stop()
            raise
        self._thread = thread
        return server

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        thread = self._thread
        assert thread is not None
        try:
            thread.run(self._close())
        finally:
            thread.stop()
            self._thread = None
            self._raise_outcome(error)

    def _note_outcome(self, go_on: Callable[[BaseException], None] | None, error: BaseException) -> None:
        """Take what a callback raised that is no Exception. `go_on` is what becomes of it without a test."""
        if isinstance(error, KeyboardInterrupt) and self._thread is None:
            if go_on is not None:
                go_on(error)
        elif self._outcome is None and not isinstance(error, (asyncio.CancelledError, SystemExit, GeneratorExit)):
            self._outcome = error

    def _raise_outcome(self, error: BaseException | None) -> None:
        """The block is left, by `error` perhaps."""
        outcome, self._outcome = self._outcome, None
        if outcome is None:
            return
        if error is None:
            raise outcome
        error.add_note(f"wspulse: before that, a callback of the server raised {type(outcome).__name__}: {outcome}")


def _connection_from(server: Server, address: Any) -> Connection | None:
    """What carries on over the socket from this address, the newest sessions first."""
    for session in reversed(server._running().shard.sessions.values()):
        connection = session.connection
        if (connection.resumed_with or connection).request.remote_address == address:
            return connection
    return None


async def _say_goodbye(clients: list[Client]) -> None:
    """Close what is still open, so that the server need not wait for anybody."""
    still_open = [client for client in clients if client.is_open]
    for client in still_open:
        client.resume_reading()
    try:
        async with asyncio.timeout(_FAREWELL_S):
            await asyncio.gather(*(client.close() for client in still_open))
    except TimeoutError:
        for client in still_open:
            await client.abort()
