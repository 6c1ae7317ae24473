"""`Listening`: what a worker that is short of descriptors takes from the queue that all workers share, with real sockets.

The clients are another process's: their descriptors do not count here.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import pytest
import uvloop

from tests.support.eventually import eventually
from wspulse.actors.accept import listening
from wspulse.actors.accept.listening import Listening

are_free = listening._are_free

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

CLIENTS = """
import socket, sys
port, count = int(sys.argv[1]), int(sys.argv[2])
clients = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(count)]
print("connected", flush=True)
sys.stdin.readline()
ended = 0
for client in clients:
    client.setblocking(False)
    try:
        ended += client.recv(1) == b""
    except BlockingIOError:
        pass
    except OSError:
        ended += 1
print(ended, flush=True)
"""


@contextmanager
def descriptors_free(count: int) -> Iterator[None]:
    """So many may be opened until the end of the block, with numbers above the highest that is open."""
    gc.collect()  # what earlier tests have left is not to make room within the block
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/dev/fd"))  # noqa: PTH208
    filled = []
    while (fd := os.dup(0)) <= highest:
        filled.append(fd)
    os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in filled:
            os.close(fd)


class Held(asyncio.Protocol):
    """A connection that stays."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._stage.held.append(transport)
        self._stage.listening.took(transport)

    def connection_lost(self, _error: Exception | None) -> None:
        self._stage.held.remove(self._transport)


class Stage:
    def __init__(self) -> None:
        self.held: list[asyncio.BaseTransport] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.listening = Listening(self.listener, lambda: Held(self), self._spawn, logging.getLogger("wspulse"))

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        return task

    def clients(self, count: int) -> subprocess.Popen[str]:
        port = self.listener.getsockname()[1]
        return subprocess.Popen(
            [sys.executable, "-c", CLIENTS, str(port), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    await made.listening.open()
    try:
        yield made
    finally:
        made.listening.close()
        made.listener.close()
        for transport in list(made.held):
            transport.abort()  # type: ignore[attr-defined]
        await eventually(lambda: not made.held, "all connections have ended")


async def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return (await asyncio.get_running_loop().run_in_executor(None, process.stdout.readline)).strip()


@pytest.mark.parametrize("loop", LOOPS)
def test_listening_with_few_descriptors_left_leaves_connections_in_the_queue_and_takes_them_when_there_are_more(
    loop: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[bool] = []

    def look(fd: int, count: int) -> bool:
        looks.append(are_free(fd, count))
        return looks[-1]

    monkeypatch.setattr(listening, "_are_free", look)

    async def scene() -> None:
        async with stage() as at:
            await asyncio.get_running_loop().run_in_executor(None, int)  # the thread and its descriptors are there
            clients = at.clients(200)
            try:
                with descriptors_free(80):
                    assert await line_of(clients) == "connected"
                    await eventually(lambda: not at.listening.is_open, "it takes no more")
                    await eventually(lambda: len(looks) >= 1, "what it had taken is told of")
                    taken = len(at.held)
                    assert 44 <= taken <= 80 - 2, "it takes what it can, and leaves some descriptors to others"
                    await eventually(lambda: len(looks) >= 5, "it has looked three times more")
                    assert looks == [False] * len(looks)
                    assert len(at.held) == taken
                await eventually(lambda: len(at.held) == 200, "all are taken")
                assert clients.stdin is not None
                clients.stdin.write("\n")
                clients.stdin.flush()
                assert await line_of(clients) == "0", "so many connections were accepted and dropped"
            finally:
                clients.kill()
                clients.wait()
                for pipe in (clients.stdin, clients.stdout):
                    with suppress(OSError):
                        pipe.close()  # type: ignore[union-attr]

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(scene())
    lines = [record for record in caplog.records if "descriptors" in record.getMessage()]
    assert len(lines) == 1
    assert lines[0].descriptor_limit > 80  # type: ignore[attr-defined]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize(("limit", "spare"), [(64, 16), (100, 25), (128, 32), (1024, 32), (1 << 20, 32)])
def test_spare_descriptors_are_a_quarter_of_a_very_low_limit_so_that_somebody_is_taken(limit: int, spare: int) -> None:
    assert listening._spare(limit) == spare


class Pairing(Stage):
    """Each connection takes a descriptor more, once all have come that come at once."""

    def __init__(self) -> None:
        super().__init__()
        self.owed = 0
        self.pairs: list[int] = []
        self.refused = 0
        logger = logging.getLogger("wspulse")
        self.listening = Listening(self.listener, self._greet, self._spawn, logger, owed=lambda: self.owed + 8)

    def _greet(self) -> asyncio.Protocol:
        self.listening.greeted()
        self.owed += 1
        asyncio.get_running_loop().call_later(0.2, self._pair)
        return Unannounced(self)

    def _pair(self) -> None:
        self.owed -= 1
        try:
            self.pairs.append(os.dup(0))
        except OSError:
            self.refused += 1


class Unannounced(Held):
    """It was told of when it was greeted."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._stage.held.append(transport)


@pytest.mark.parametrize("has_been_short", [False, True])
def test_listening_leaves_those_in_the_queue_for_whom_descriptors_are_owed_to_others(has_been_short: bool) -> None:
    async def scene() -> None:
        at = Pairing()
        at.listening._has_been_short = has_been_short
        await at.listening.open()
        await asyncio.get_running_loop().run_in_executor(None, int)
        clients = at.clients(200)
        try:
            with descriptors_free(112):
                assert await line_of(clients) == "connected"
                await eventually(lambda: at.held and not at.owed, "those who were taken have what they need")
                assert not at.listening.is_open
                assert 24 <= len(at.held) == len(at.pairs) <= 40, "there is room for others still"
                assert at.refused == 0
            assert clients.stdin is not None
            clients.stdin.write("\n")
            clients.stdin.flush()
            assert await line_of(clients) == "0", "so many connections were accepted and dropped"
        finally:
            clients.kill()
            clients.wait()
            for pipe in (clients.stdin, clients.stdout):
                with suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]
            at.listening.close()
            at.listener.close()
            await eventually(lambda: not at.owed, "nobody is to come")
            for number in at.pairs:
                os.close(number)
            for transport in list(at.held):
                transport.abort()  # type: ignore[attr-defined]
            await eventually(lambda: not at.held, "all connections have ended")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scene())
