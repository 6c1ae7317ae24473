"""The same server and clients for tests without async: the event loop runs in a thread, and every call waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import uvloop
from msgspec import UNSET

from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.testing.client import Client, Closed
from wspulse.actors.testing.running import RunningServer
from wspulse.actors.values.codec import Codec
from wspulse.actors.values.frame import Frame

__all__ = ["BlockingClient", "BlockingServer", "LoopThread"]

T = TypeVar("T")

_JOIN_S = 10.0


class LoopThread:
    """A thread with a running event loop."""

    def __init__(self) -> None:
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._main, args=(started,), name="wspulse-testing", daemon=True)
        self._thread.start()
        self._loop, self._stopping = started.result()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Its result, from the loop's thread. Interrupted, it is cancelled. Raises RuntimeError after `stop`."""
        __tracebackhide__ = True
        if self._stopping.is_set():
            coroutine.close()
            raise RuntimeError("wspulse: the server under test has ended")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def call(self, function: Callable[[], T]) -> T:
        """A function's result, from the loop's thread."""

        async def call() -> T:
            return function()

        return self.run(call())

    def stop(self) -> None:
        """End the loop; tasks that are left are cancelled."""
        self.call(self._stopping.set)
        self._thread.join(_JOIN_S)

    def _main(self, started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
        async def main() -> None:
            stopping = asyncio.Event()
            started.set_result((asyncio.get_running_loop(), stopping))
            await stopping.wait()

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())


class BlockingServer:
    """A server under test; see RunningServer, whose methods these are without await."""

    def __init__(self, running: RunningServer, thread: LoopThread) -> None:
        self._running = running
        self._thread = thread
        self.url = running.url
        self.clients: list[BlockingClient] = []

    def connect(
        self,
        id: str | None = None,  # noqa: A002
        room: str | None = None,
        *,
        query: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        subprotocols: Sequence[str] = (),
        compression: str | None = None,
        codec: Codec | None = None,
        timeout: float | None = None,
    ) -> BlockingClient:
        """A new client, connected; see RunningServer.connect."""
        __tracebackhide__ = True
        opening = self._running.connect(
            id,
            room,
            query=query,
            headers=headers,
            subprotocols=subprotocols,
            compression=compression,
            codec=codec,
            timeout=timeout,
        )
        client = BlockingClient(self._thread.run(opening), self._thread)
        self.clients.append(client)
        return client

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the server's loop, as in `running.run(server.broadcast("lobby", frame))`, and return its result."""
        __tracebackhide__ = True
        return self._thread.run(coroutine)

    @property
    def control(self) -> str:
        """See RunningServer.control."""
        return self._running.control

    @property
    def log(self) -> str:
        return self._running.log

    @property
    def pid(self) -> int | None:
        return self._running.pid


class BlockingClient:
    """A client of a server under test; see Client, whose methods these are without await."""

    def __init__(self, client: Client, thread: LoopThread) -> None:
        self._client = client
        self._thread = thread

    @property
    def received(self) -> list[Frame]:
        """Every frame received so far, in order."""
        return self._thread.call(lambda: list(self._client.received))

    @property
    def is_open(self) -> bool:
        return self._thread.call(lambda: self._client.is_open)

    @property
    def subprotocol(self) -> str | None:
        return self._client.subprotocol

    @property
    def connection(self) -> Connection:
        """See Client.connection. Its methods must run in the server's loop: `running.run(client.connection.join("tea"))`."""
        return self._client.connection

    @property
    def rooms(self) -> tuple[str, ...]:
        """See Client.rooms."""
        return self._thread.call(lambda: self._client.rooms)

    def send(self, event: str, payload: Any = UNSET, *, id: str = "") -> None:  # noqa: A002
        __tracebackhide__ = True
        self._thread.run(self._client.send(event, payload, id=id))

    def call(self, event: str, payload: Any = UNSET, *, timeout: float | None = None) -> Frame:
        __tracebackhide__ = True
        return self._thread.run(self._client.call(event, payload, timeout=timeout))

    def reply(self, to: Frame, payload: Any = UNSET, *, error: bool = False) -> None:
        __tracebackhide__ = True
        self._thread.run(self._client.reply(to, payload, error=error))

    def send_raw(self, message: str | bytes) -> None:
        __tracebackhide__ = True
        self._thread.run(self._client.send_raw(message))

    def expect(
        self,
        event: str,
        *,
        room: str | None = None,
        where: Callable[[Frame], object] | None = None,
        timeout: float | None = None,
    ) -> Frame:
        __tracebackhide__ = True
        return self._thread.run(self._client.expect(event, room=room, where=where, timeout=timeout))

    def next(self, *, timeout: float | None = None) -> Frame:
        __tracebackhide__ = True
        return self._thread.run(self._client.next(timeout=timeout))

    def expect_nothing(self, event: str | None = None, *, room: str | None = None, within: float = 0.1) -> None:
        __tracebackhide__ = True
        self._thread.run(self._client.expect_nothing(event, room=room, within=within))

    def skip(self) -> list[Frame]:
        return self._thread.call(self._client.skip)

    def close(self, code: int = 1000, reason: str = "") -> None:
        self._thread.run(self._client.close(code, reason))

    def drop(self) -> None:
        self._thread.run(self._client.drop())

    def reconnect(self, *, timeout: float | None = None) -> None:
        __tracebackhide__ = True
        self._thread.run(self._client.reconnect(timeout=timeout))

    def closed(self, *, timeout: float | None = None) -> Closed:
        __tracebackhide__ = True
        return self._thread.run(self._client.closed(timeout=timeout))

    def pause_reading(self) -> None:
        self._thread.call(self._client.pause_reading)

    def resume_reading(self) -> None:
        self._thread.call(self._client.resume_reading)

    def __repr__(self) -> str:
        return repr(self._client)
