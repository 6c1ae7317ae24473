"""A host whose cluster goes wrong: the log says why, the health checks turn red, nobody is closed, and all mends itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import nats as nats_client
import pytest
import websockets
from nats.aio.client import Client

from tests.support.cluster.feeds import api
from tests.support.control.admin_stage import ask
from tests.support.eventually import eventually
from tests.support.processes.nats_servers import NatsServers, nats_servers
from tests.support.processes.server_process import ServerProcess, serve_process
from wspulse.actors.bus.cluster.buckets import bucket_of, partition_of
from wspulse.actors.bus.message import room_topic
from wspulse.supervisor.cluster.hosts.records import HostInfo, host_key
from wspulse.supervisor.cluster.service import NATS_AWAY, NO_GATEWAY, NO_LEASE

WITHIN_S = 30.0

BUCKET = "WSPULSE_wspulse"


def accounts(password: str = "secret", jetstream: str = "enabled") -> str:
    return f"""
        accounts {{
            APP {{
                users: [{{ user: "host", password: "{password}" }}, {{ user: "person", password: "other" }}]
                jetstream: {jetstream}
            }}
        }}
    """


class Stage:
    """One host, ready, and the NATS server that it needs."""

    def __init__(self, nats: NatsServers, server: ServerProcess) -> None:
        self.nats = nats
        self.server = server
        admin = re.search(r"the admin address is open \(url=http://127\.0\.0\.1:(\d+)/\)", server.stderr())
        assert admin is not None, server.stderr()
        self.admin_port = int(admin[1])
        self._log_begins = 0

    async def is_red(self, reason: str) -> None:
        """Until every check that tells of readiness says so; that of the process stays green."""
        for port, path in ((self.server.port, "/healthz"), (self.admin_port, "/ready")):
            await self._answers(port, path, 503, reason)
        await self._answers(self.admin_port, "/live", 200, "")

    async def is_green(self) -> None:
        for port, path in ((self.server.port, "/healthz"), (self.admin_port, "/ready")):
            await self._answers(port, path, 200, "")

    async def says(self, text: str) -> None:
        await eventually(lambda: text in self.log(), f"{text!r} in the log", WITHIN_S)

    async def _answers(self, port: int, path: str, status: int, text: str) -> None:
        async with asyncio.timeout(WITHIN_S):
            while (answer := await ask(port, path)).status != status or text not in answer.text:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    @asynccontextmanager
    async def trial(self) -> AsyncIterator[None]:
        """Green before and after it. Two clients are connected all the time, and hear each other in the end."""
        await self.is_green()
        self._log_begins = len(self.server.stderr())
        url = f"{self.server.url}?room=tea"
        async with websockets.connect(f"{url}&id=ada") as ada, websockets.connect(f"{url}&id=bob") as bob:
            yield
            await self.is_green()
            await ada.send('{"event": "said", "payload": "hello"}')
            async with asyncio.timeout(WITHIN_S):
                assert "hello" in await bob.recv()

    def log(self) -> str:
        """Since the trial began."""
        return self.server.stderr()[self._log_begins :]

    @asynccontextmanager
    async def person(self) -> AsyncIterator[Client]:
        client = await nats_client.connect(self.nats.urls[0].replace("//", "//person:other@"))
        try:
            yield client
        finally:
            await client.close()


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    with nats_servers(folder, options=accounts()) as nats:
        url = nats.urls[0].replace("//", "//host:secret@")
        with serve_process("--cluster", url, "--host-id", "one", "--admin", "127.0.0.1:0", workers=1) as server:
            yield Stage(nats, server)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("nats")) as stage:
        yield stage


async def test_nats_that_is_away_and_back(tmp_path: Path) -> None:
    with staged(tmp_path) as stage:
        async with stage.trial():
            stage.nats.kill(0)
            await stage.is_red(NATS_AWAY)
            await stage.says("NATS is away")
            stage.nats.start(0)
            await stage.is_green()
            await stage.says("NATS is back")


async def test_user_that_nats_knows_no_more_and_then_again(stage: Stage) -> None:
    async with stage.trial():
        stage.nats.reconfigure(accounts(password="changed"))
        await stage.is_red(NO_GATEWAY)
        await stage.says("this host is not in its cluster any more; it tries to join it again (reason=NATS at ")
        await stage.says("refuses these credentials")
        stage.nats.reconfigure(accounts())
    assert "secret" not in stage.server.stderr()


async def test_jetstream_that_is_turned_off_and_on(stage: Stage) -> None:
    async with stage.trial():
        stage.nats.reconfigure(accounts(jetstream="disabled"))
        await stage.is_red(NATS_AWAY)
        await stage.says("the cluster's streams in NATS cannot be used (reason=WSPULSE_wspulse_0: ")
        stage.nats.reconfigure(accounts())
        await stage.is_green()
        await stage.says("the cluster's streams in NATS can be used again")


async def test_stream_that_somebody_changes_and_changes_back(stage: Stage) -> None:
    async with stage.trial(), stage.person() as person:
        config = (await api(person, "STREAM.INFO.WSPULSE_wspulse_7"))["config"]
        await api(person, "STREAM.UPDATE.WSPULSE_wspulse_7", {**config, "max_age": 200 * 10**9})
        await stage.is_red(NATS_AWAY)
        await stage.says("the stream WSPULSE_wspulse_7 has max_age 200000000000")
        await api(person, "STREAM.UPDATE.WSPULSE_wspulse_7", config)


async def test_host_whose_id_another_one_takes_and_gives_back(stage: Stage) -> None:
    async with stage.trial(), stage.person() as person:
        store = await person.jetstream().key_value(BUCKET)
        other = HostInfo("one", 7, 1, 1.0, "ws://elsewhere", {}, "0")
        await store.put(host_key("one"), msgspec.json.encode(other))
        await stage.is_red(NO_LEASE)
        await stage.says("another host has this host's id (host=one, address=ws://elsewhere)")
        await store.purge(host_key("one"))


async def test_keys_and_messages_of_somebody_else_harm_nobody(stage: Stage) -> None:
    async with stage.trial(), stage.person() as person:
        store = await person.jetstream().key_value(BUCKET)
        values: list[Any] = [b"", b"[]", b"\xff\xfe", b'{"id": "one"}', b"x" * 100_000]
        for number, value in enumerate(values):
            await store.put(f"h.foreign-{number}", value)
            await store.put(f"other.{number}", value)
        bucket = bucket_of(room_topic("tea"))
        subject = f"{partition_of(bucket)}.{bucket}"
        for number in range(100):
            for data in (b"", b"\0" * number, room_topic("tea") + b"\xff" * number, b"none", room_topic("tea")):
                await person.publish(f"wspulse.wspulse.in.{subject}", data)
                await person.publish(f"wspulse.wspulse.out.{subject}", data)
        await person.flush()
        await stage.says("is no host that this version knows, and is passed over: see whose it is")
    assert len(re.findall(r"^\d{4}-", stage.log(), re.MULTILINE)) < 30
