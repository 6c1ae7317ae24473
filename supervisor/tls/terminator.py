"""`Terminator`: accepts TLS connections and joins each with one to a worker.

One per process, run by `main`. A worker accepts it as any other connection, and reads first whom it comes from, in a header of
the PROXY protocol. Which worker that is the kernel decides, and a session's shard is found as ever: it may move, and be moved,
on the clear side, while the TLS connection stays here. It ends when it is told to and its last client is gone.
"""

from __future__ import annotations

import asyncio
import logging
import select
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from weakref import WeakSet

from wspulse.actors.accept.listening import Listening
from wspulse.actors.values.log_limit import LogLimit
from wspulse.actors.wire.proxy_header import proxy_header
from wspulse.supervisor.tls.certificates.shown import Shown
from wspulse.supervisor.tls.farewells import Farewells
from wspulse.supervisor.tls.joint import ClientSide, WorkerSide
from wspulse.supervisor.tls.orders import UP, Orders
from wspulse.supervisor.tls.spec import TerminatorSpec

__all__ = ["Terminator"]

_FAREWELL_S = 86400.0
"""How long a client has to take what is written before the end, and to answer it: `Farewells` has a better judgement, by what it
takes."""

CONNECT_S = 5.0
CONNECT_AGAIN_S = 0.05
"""Workers are replaced and come back; their queue may be full for a moment."""

LOOK_S = 1.0
"""Between two looks at whether workers have closed connections of which nothing is read, and clients take what is left."""

LAST_S = 5.0
"""Without a supervisor: its workers close their sessions meanwhile (contract §6)."""

_LOOK_EVERY = 8
"""Clients between two of the listening's looks at how many descriptors there are."""

_logger = logging.getLogger("wspulse.tls")


class Terminator:
    """See the module. Raises SSLError for a certificate that cannot be used."""

    def __init__(self, spec: TerminatorSpec) -> None:
        self._spec = spec
        self._shown = Shown(spec.pem)
        self._orders = Orders()
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listenings = [
            self._listening(sock, (self._shown.context, spec.handshake_s, _FAREWELL_S)) for sock in spec.listeners
        ]
        self._log = LogLimit()
        self._is_ending = False
        self._done = asyncio.Event()
        self.arriving: WeakSet[ClientSide] = WeakSet()
        self.clients: set[ClientSide] = set()
        self.paused: set[WorkerSide] = set()
        self.farewells = Farewells()
        self.gone: Callable[[], None] = _nothing

    async def run(self) -> None:
        """Serve until the end."""
        self._loop.add_reader(self._spec.channel.fileno(), self._hear)
        own = [self._loop.create_task(self._look_around())]
        try:
            for listening in self._listenings:
                if not self._is_ending:
                    await listening.open()
            own.append(self._loop.create_task(self._live()))
            await self._done.wait()
        finally:
            for task in own:
                task.cancel()
            self._loop.remove_reader(self._spec.channel.fileno())

    def end(self) -> None:
        """Accept nobody else, and end with the last client; idempotent."""
        if self._is_ending:
            return
        self._is_ending = True
        for listening in self._listenings:
            listening.close()
        for sock in self._spec.listeners:
            sock.close()
        self.gone = self._look_if_done
        self._look_if_done()

    def connect(self, client: ClientSide) -> None:
        assert client.transport is not None
        name, own = (client.transport.get_extra_info(each) for each in ("peername", "sockname"))
        try:
            header = proxy_header(name[:2], own[:2], is_tls=True)
        except (TypeError, ValueError):
            client.abort()  # it is gone already, and has no name
            return
        self._spawn(self._connect(client, WorkerSide(self, client, header)))

    async def _connect(self, client: ClientSide, worker: WorkerSide) -> None:
        due = monotonic() + CONNECT_S
        while client.transport is not None:
            try:
                await self._loop.create_unix_connection(lambda: worker, self._spec.way)
                return
            except OSError as error:
                if monotonic() > due:
                    self._tell("no worker could be reached; a client is cut off", str(error))
                    client.abort()
                    return
            await asyncio.sleep(CONNECT_AGAIN_S)

    def _listening(self, sock: socket.socket, tls: tuple[ssl.SSLContext, float, float]) -> Listening:
        def greet() -> asyncio.Protocol:
            """For each connection that comes, before it has shaken hands."""
            listening.greeted()
            return ClientSide(self)

        listening = Listening(sock, greet, self._spawn, _logger, tls=tls, owed=self._owed)
        return listening

    def _owed(self) -> int:
        """Descriptors: one to a worker for each client that has none yet, and for each that comes until the next look."""
        return len(self.arriving) + _LOOK_EVERY

    def _spawn(self, coroutine: object) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self._loop.create_task(coroutine)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _live(self) -> None:
        while True:
            with suppress(OSError):  # the supervisor is gone, or reads nothing for a while
                self._spec.channel.send(UP)
            await asyncio.sleep(self._spec.alive_s)

    async def _look_around(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            for worker in have_ended(self.paused):
                worker.worker_is_gone()
            self.farewells.look(monotonic())

    def _look_if_done(self) -> None:
        if not self.clients:
            self._done.set()

    def _hear(self) -> None:
        try:
            said = self._spec.channel.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            said = b""  # a supervisor that dies with something unread resets it
        if not said:
            self._loop.remove_reader(self._spec.channel.fileno())
            _logger.error("the supervisor is gone; this terminator ends")
            self.end()
            self._loop.call_later(LAST_S, self._done.set)
        for pem in self._orders.take(said):
            if pem is None:
                self.end()
            else:
                self._shown.show(pem)

    def _tell(self, text: str, reason: str) -> None:
        not_logged = self._log.admit(monotonic())
        if not_logged is not None:
            _logger.warning(text, extra={"reason": reason, "not_logged": not_logged})


def have_ended(paused: set[WorkerSide]) -> list[WorkerSide]:
    """Those whose worker has closed its end, unseen behind what has not been read."""
    if not paused:
        return []
    poll = select.poll()
    by_number: dict[int, WorkerSide] = {}
    for side in paused:
        sock: socket.socket | None = None if side.transport is None else side.transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            by_number[sock.fileno()] = side
            poll.register(sock.fileno(), _HUNG_UP)
    return [
        by_number[number] for number, events in poll.poll(0) if events & (_HUNG_UP | select.POLLERR | select.POLLHUP)
    ]


_HUNG_UP = getattr(select, "POLLRDHUP", select.POLLHUP)


def _nothing() -> None:
    """While it serves nobody waits for the last client."""
