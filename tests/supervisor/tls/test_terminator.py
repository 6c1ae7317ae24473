"""`Terminator`: what it does about workers that cannot be reached or have ended, orders, and its own end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.http.authority import Authority
from tests.support.tls.pretended_transport import PretendedTransport
from wspulse.actors.accept.listening import Listening
from wspulse.actors.wire.proxy_header import proxy_header
from wspulse.supervisor.tls import farewells, terminator
from wspulse.supervisor.tls.certificates.certificate import Certificate
from wspulse.supervisor.tls.joint import ClientSide
from wspulse.supervisor.tls.orders import END, UP, show_order
from wspulse.supervisor.tls.spec import TerminatorSpec
from wspulse.supervisor.tls.terminator import Terminator, have_ended

Connected = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Stage:
    """A terminator with a listener of its own, and what the supervisor and the workers would have of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority()
        self.certificate = Certificate(*map(str, self.authority.certificate(folder)))
        self.supervisor, channel = socket.socketpair()
        channel.setblocking(False)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.way = str(folder / "way")
        pem = self.certificate.read()
        spec = TerminatorSpec(0, [self.listener], self.way, channel, pem, 10.0, 0.05, "info", "text")
        self.channel = channel
        self.terminator = Terminator(spec)
        self.workers: asyncio.Queue[Connected] = asyncio.Queue()
        self.sides: list[PretendedTransport] = []
        self.ways: list[asyncio.Server] = []
        """Workers accept there."""

    def client(self) -> PretendedTransport:
        """One that has shaken hands."""
        transport = PretendedTransport(ClientSide(self.terminator))
        transport.protocol.connection_made(transport)
        self.sides.append(transport)
        return transport

    async def open_way(self) -> None:
        way = await asyncio.start_unix_server(lambda *ends: self.workers.put_nowait(ends), self.way)
        self.ways.append(way)

    async def worker(self) -> Connected:
        return await asyncio.wait_for(self.workers.get(), 5)


@asynccontextmanager
async def running(folder: Path, *, opens: bool = True) -> AsyncIterator[tuple[Stage, asyncio.Task[None]]]:
    at = Stage(folder)
    if opens:
        await at.open_way()
    task = asyncio.create_task(at.terminator.run())
    try:
        at.supervisor.settimeout(5)
        said = await asyncio.get_running_loop().run_in_executor(None, at.supervisor.recv, 9)
        assert said == UP
        yield at, task
    finally:
        at.terminator.end()
        for side in at.sides:
            side.lose()
        await asyncio.wait_for(task, 5)
        for way in at.ways:
            way.close()
        while not at.workers.empty():
            at.workers.get_nowait()[1].close()
        for each in (at.supervisor, at.channel, at.listener):
            each.close()
        await asyncio.sleep(0)


async def test_worker_that_cannot_be_reached_at_once_is_tried_again(tmp_path: Path) -> None:
    async with running(tmp_path, opens=False) as (at, _):
        client = at.client()
        client.read(b"early")
        await asyncio.sleep(0)
        await at.open_way()
        reader, writer = await at.worker()
        header = proxy_header(("192.0.2.1", 4000), ("192.0.2.2", 443), is_tls=True)
        assert await reader.readexactly(len(header) + 5) == header + b"early"
        writer.close()
        assert not client.ends


async def test_client_is_cut_off_when_no_worker_can_be_reached_for_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(terminator, "CONNECT_S", 0.0)
    async with running(tmp_path, opens=False) as (at, _):
        client = at.client()
        await eventually(lambda: client.ends == ["abort"], "it is cut off")
    (said,) = [each for each in caplog.records if each.name == "wspulse.tls"]
    assert said.message == "no worker could be reached; a client is cut off"


async def test_end_by_order_waits_for_the_last_client(tmp_path: Path) -> None:
    async with running(tmp_path) as (at, task):
        client = at.client()
        _, writer = await at.worker()
        at.supervisor.send(END)
        await eventually(lambda: at.listener.fileno() < 0, "it accepts nobody else")
        assert not task.done()
        client.lose()
        await asyncio.wait_for(asyncio.shield(task), 5)
        writer.close()


@pytest.mark.parametrize("unread", [b"", UP], ids=["all read", "reset"])
async def test_terminator_without_a_supervisor_ends_with_its_clients_or_soon(
    unread: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminator, "LAST_S", 0.05)
    async with running(tmp_path) as (at, task):
        client = at.client()
        _, writer = await at.worker()
        if unread:
            at.channel.send(unread)
        else:
            at.channel.shutdown(socket.SHUT_WR)
            while at.supervisor.recv(64):
                pass
        at.supervisor.close()
        await asyncio.wait_for(asyncio.shield(task), 5)
        assert client.ends == []
        writer.close()


async def test_end_that_comes_before_it_listens_is_the_end(tmp_path: Path) -> None:
    at = Stage(tmp_path)
    at.terminator.end()
    at.supervisor.close()
    await asyncio.wait_for(at.terminator.run(), 5)
    for each in (at.channel, at.listener):
        each.close()


async def test_certificate_of_an_order_is_shown_from_then_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path) as (at, _):
        shown: list[object] = []
        monkeypatch.setattr(at.terminator._shown, "show", shown.append)
        other = at.certificate.read()
        order = show_order(other)
        at.supervisor.send(order[:10])
        at.supervisor.send(order[10:])
        await eventually(lambda: shown == [other], "it has the order")


async def test_ended_worker_of_which_nothing_is_read_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminator, "LOOK_S", 0.01)
    async with running(tmp_path) as (at, _):
        stays, stuck = at.client(), at.client()
        writers = [(await at.worker())[1] for _ in range(2)]
        for client, writer in zip((stays, stuck), writers, strict=True):
            client.takes = False
            writer.write(b"held")
        await eventually(lambda: len(at.terminator.paused) == 2, "nothing is read of either")
        assert have_ended(at.terminator.paused) == []
        ended = next(each for each in at.terminator.paused if each._client is stuck.protocol)
        writers[1].write(b"more that is not read")
        writers[1].close()
        await eventually(lambda: have_ended(at.terminator.paused) == [ended], "its end is seen")
        monkeypatch.setattr(farewells, "PATIENCE_S", 0.0)
        await eventually(lambda: stuck.ends == ["abort"], "its client, which takes nothing, is cut off")
        assert stays.ends == []
        writers[0].close()


async def test_each_client_that_comes_counts_for_the_look_at_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    greeted: list[Listening] = []

    def note(listening: Listening) -> None:
        greeted.append(listening)

    monkeypatch.setattr(Listening, "greeted", note)
    async with running(tmp_path) as (at, _):
        (listening,) = at.terminator._listenings
        sides = [listening._greet() for _ in range(3)]
        assert greeted == [listening] * 3
        assert at.terminator._owed() == len(sides) + 8
        sides.clear()
        assert at.terminator._owed() == 8
