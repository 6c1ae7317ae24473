"""What is sent to sessions by their ids while they move comes once and in order, from whichever process it is sent."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.shards.conductor import Conductor
from tests.support.shards.shards import Shards, serve_shards
from tests.support.wire.raw_peer import RawPeer
from wspulse import Connection, Frame, Server
from wspulse.actors.mesh.actor import ActorRef
from wspulse.actors.mesh.lifecycle import MovedOut
from wspulse.actors.mesh.message import Message


def quiet() -> Server:
    return Server(
        lambda request: (request.query.get("room", "lobby"), request.query["id"]),
        send_buffer_size=4096,
    )


class Reader:
    """Keeps apart what each sender has sent to one client."""

    def __init__(self, peer: RawPeer) -> None:
        self.peer = peer
        self.got: defaultdict[str, list[int]] = defaultdict(list)
        self.total = 0
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while True:
            _, payload = await self.peer.frame()
            said: dict[str, Any] = json.loads(payload)
            self.got[said["event"]].append(said["payload"])
            self.total += 1

    async def has(self, total: int) -> None:
        await eventually(lambda: self.total >= total, "all of it has come")

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.peer.close()


class Late:
    """A way to another process on which all is late: what is sent, in order, and each answer by itself."""

    def __init__(self, ref: ActorRef, draw: Random) -> None:
        self._ref, self._draw = ref, draw
        self._sent: asyncio.Queue[Callable[[], object]] = asyncio.Queue()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.task = asyncio.create_task(self._carry())

    def tell(self, message: Message) -> None:
        self._sent.put_nowait(lambda: self._ref.tell(message))

    async def ask(self, message: Message, *, timeout_s: float | None = None) -> Any:
        future: asyncio.Future[asyncio.Task[Any]] = asyncio.get_running_loop().create_future()
        self._sent.put_nowait(lambda: future.set_result(self._begun(message, timeout_s)))
        try:
            return await (await future)
        finally:
            await asyncio.sleep(self._draw.choice((0, 0, 0.001, 0.02)))

    def _begun(self, message: Message, timeout_s: float | None) -> asyncio.Task[Any]:
        task = asyncio.create_task(self._ref.ask(message, timeout_s=timeout_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _carry(self) -> None:
        while True:
            await asyncio.sleep(self._draw.choice((0, 0, 0.001, 0.02)))
            for _ in range(self._sent.qsize()):
                (await self._sent.get())()

    @classmethod
    def everywhere(cls, shards: Shards, draw: Random) -> list[Late]:
        """Have all ways between the processes be so."""
        made = []
        for seat, runtime in shards.seats.items():
            for other, ref in runtime.refs.items():
                if other != seat and not isinstance(ref, Late):
                    late = runtime.refs[other] = cls(ref, draw)
                    made.append(late)
        return made


class Sender:
    """A process that sends all the time, and does not wait for what it sends."""

    def __init__(self, name: str, send: Callable[[str, Frame], Any], ids: list[str], draw: Random) -> None:
        self._send, self._ids, self._draw = send, ids, draw
        self.name = name
        self.sent: defaultdict[str, int] = defaultdict(int)
        self._numbers: defaultdict[str, count[int]] = defaultdict(count)
        self._sending: set[asyncio.Task[None]] = set()
        self.errors: list[BaseException] = []
        self._is_over = False
        self.task = asyncio.create_task(self._go_on())

    async def _one(self, name: str) -> None:
        number = next(self._numbers[name])
        self.sent[name] += 1
        try:
            await self._send(name, Frame(self.name, number))
        except Exception as error:
            self.errors.append(error)

    async def _go_on(self) -> None:
        while not self._is_over:
            for _ in range(self._draw.randrange(6)):
                task = asyncio.create_task(self._one(self._draw.choice(self._ids)))
                self._sending.add(task)
                task.add_done_callback(self._sending.discard)
            await asyncio.sleep(self._draw.choice((0, 0, 0.001)))

    async def end(self) -> None:
        self._is_over = True
        await self.task
        async with asyncio.timeout(10):
            await asyncio.gather(*self._sending)


def names(shards: Shards, number: int, of: int) -> list[str]:
    placement = shards.runtimes[0].placement
    return [placement.new_id(shards.runtimes[number].shard.seat) for _ in range(of)]


@pytest.mark.race
async def test_frames_of_every_process_come_once_and_in_order_while_their_session_moves(
    draw: Random, race_rounds: int
) -> None:
    async with serve_shards(quiet, 3) as shards:
        conductor = Conductor(shards)
        ids = names(shards, 1, 24)
        readers = {
            name: Reader(await RawPeer.upgraded(shards.port, f"/ws?id={name}&room=r{number % 3}"))
            for number, name in enumerate(ids)
        }
        kept = await shards.servers[0].get_connections("r0")
        by_id = {connection.id: connection for connection in kept}
        assert len(by_id) == 8
        sent: defaultdict[str, int] = defaultdict(int)
        late: list[Late] = []
        for turn in range(min(race_rounds, 5)):
            servers = {f"{turn}-{seat}": runtime._server for seat, runtime in shards.seats.items()}
            senders = [
                Sender(name, server.send, ids, draw) for name, server in servers.items() if isinstance(server, Server)
            ]

            async def send_to_kept(name: str, frame: Frame) -> None:
                await by_id[name].send(frame)

            senders.append(Sender(f"{turn}-kept", send_to_kept, list(by_id), draw))
            source, target = shards.runtimes[1], await shards.open_seat(1)
            late += Late.everywhere(shards, draw)
            outcome = await conductor.move(source, dict.fromkeys(range(1024), target.shard.seat))
            assert isinstance(outcome, MovedOut)
            assert outcome.moved == len(ids)
            for sender in senders:
                await sender.end()
                assert sender.errors == []
                for name, number in sender.sent.items():
                    sent[name] += number
            for name, reader in readers.items():
                await reader.has(sent[name])
                for sender in senders:
                    assert reader.got[sender.name] == list(range(sender.sent[name])), (name, sender.name)
            shards.rename(target)
            await shards.close_seat(source.shard.seat)
        for each in late:
            each.task.cancel()
        for reader in readers.values():
            await reader.close()


async def test_each_session_is_listed_once_and_newcomers_are_let_in_while_sessions_move(draw: Random) -> None:
    async with serve_shards(quiet, 2) as shards:
        conductor = Conductor(shards)
        ids = names(shards, 1, 200)
        peers = [await RawPeer.upgraded(shards.port, f"/ws?id={name}&room=crowd") for name in ids]
        over = asyncio.Event()
        listings = 0

        async def list_all(server: Server) -> None:
            nonlocal listings
            while not over.is_set():
                found: list[Connection] = await server.get_connections("crowd")
                assert sorted(each.id for each in found) == sorted(ids)
                members = await server.presence("crowd")
                assert sorted(each.id for each in members) == sorted(ids)
                assert {each.shard for each in members} == {1}
                listings += 1

        async def come() -> list[RawPeer]:
            found = []
            while not over.is_set():
                name = shards.runtimes[0].placement.new_id(1)
                found.append(await RawPeer.upgraded(shards.port, f"/ws?id={name}&room=new"))
            return found

        tasks = [asyncio.create_task(list_all(server)) for server in shards.servers * 3]
        coming = asyncio.create_task(come())
        target = await shards.open_seat(1)
        source = shards.runtimes[1]
        late = Late.everywhere(shards, draw)
        outcome = await conductor.move(source, dict.fromkeys(range(1024), target.shard.seat))
        assert isinstance(outcome, MovedOut)
        over.set()
        await asyncio.gather(*tasks)
        newcomers = await coming
        assert listings >= len(tasks)
        assert source.connections == 0
        assert sum(runtime.connections for runtime in shards.seats.values()) == len(ids) + len(newcomers)
        shards.rename(target)
        await shards.close_seat(1)
        for each in late:
            each.task.cancel()
        for peer in (*peers, *newcomers):
            await peer.close()


async def test_send_to_a_session_of_the_own_process_goes_behind_what_is_asked_about_it_elsewhere() -> None:
    async with serve_shards(quiet, 2) as shards:
        name = shards.runtimes[0].placement.new_id(0)
        async with await RawPeer.upgraded(shards.port, f"/ws?id={name}") as peer:
            reader = Reader(peer)
            owners = shards.runtimes[0].owners
            earlier = owners._enter(name)
            sending = asyncio.create_task(shards.servers[0].send(name, Frame("n", 0)))
            await asyncio.sleep(0.01)
            assert not sending.done()
            owners._leave(earlier, name)
            await sending
            await reader.has(1)
            reader.task.cancel()
