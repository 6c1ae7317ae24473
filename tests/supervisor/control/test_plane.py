"""The control plane put together: what it tells of workers, whom it tells what is wanted, and starts that fail."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import cast

import msgspec
import pytest

from tests.support.control.control_stage import ControlStage, control_stage
from tests.support.control.dealers import dealers
from tests.support.eventually import eventually
from wspulse import AsyncControl, ControlError
from wspulse.actors.mesh.lifecycle import Events, WatchEvents
from wspulse.actors.mesh.message import Message
from wspulse.supervisor.client.async_events import AsyncEventStream
from wspulse.supervisor.control.bridge.service import BridgeService
from wspulse.supervisor.errors import SettingError, StartError
from wspulse.supervisor.process.child import Child
from wspulse.supervisor.protocol.curve import write_pair


class PretendedProcess:
    """A worker's process as the control plane sees it."""

    def __init__(self, shard: int, pid: int) -> None:
        self.shard = self.seat = shard
        self.pid = pid
        self.told: list[Message] = []

    def tell(self, message: Message) -> None:
        self.told.append(message)


def started(stage: ControlStage, shard: int, pid: int) -> PretendedProcess:
    """A worker of this shard is started; it is told what is wanted, if something is."""
    process = PretendedProcess(shard, pid)
    stage.plane.worker_started(cast("Child", process))
    return process


async def taken(stream: AsyncEventStream, count: int) -> list[tuple[str, int, int | None]]:
    async with asyncio.timeout(5):
        events = [await anext(stream) for _ in range(count)]
    return [(event.kind, event.shard, event.pid) for event in events]


async def test_life_of_a_worker_is_told_and_a_crash_told_from_a_replacement(tmp_path: Path) -> None:
    async with (
        control_stage(tmp_path) as stage,
        AsyncControl(stage.endpoint) as control,
        control.events("worker.") as stream,
    ):
        crashing, replaced = stage.children
        for child, pid in ((crashing, 100), (replaced, 200)):
            started(stage, child.shard, pid)
            stage.plane.worker_ready(child)
        stage.plane.worker_down(crashing)
        started(stage, 0, 101)
        stage.plane.worker_ready(crashing)
        stage.pretended[1].ends_by_order = True
        stage.plane.worker_down(replaced)
        stage.pretended[1].ends_by_order = False
        started(stage, 1, 201)
        stage.plane.worker_ready(replaced)
        stage.plane.worker_down(replaced)
        started(stage, 1, 202)
        stage.plane.worker_ready(replaced)
        started(stage, 0, 102)
        assert await taken(stream, 14) == [
            ("worker.started", 0, 100),
            ("worker.ready", 0, 100),
            ("worker.started", 1, 200),
            ("worker.ready", 1, 200),
            ("worker.died", 0, 100),
            ("worker.started", 0, 101),
            ("worker.ready", 0, 101),
            ("worker.started", 1, 201),
            ("worker.ready", 1, 201),
            ("worker.restarted", 1, 201),
            ("worker.died", 1, 201),
            ("worker.started", 1, 202),
            ("worker.ready", 1, 202),
            ("worker.started", 0, 102),
        ]


async def test_worker_that_ends_with_its_server_neither_died_nor_was_restarted(tmp_path: Path) -> None:
    async with (
        control_stage(tmp_path, workers=1) as stage,
        AsyncControl(stage.endpoint) as control,
        control.events() as stream,
    ):
        started(stage, 0, 100)
        stage.is_ending = stage.pretended[0].ends_by_order = True
        stage.plane.worker_down(stage.children[0])
        stage.plane.worker_ready(stage.children[0])
        started(stage, 0, 101)
        assert await taken(stream, 3) == [
            ("worker.started", 0, 100),
            ("worker.ready", 0, 100),
            ("worker.started", 0, 101),
        ]


async def test_workers_are_told_what_is_wanted_the_new_ones_too(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage, AsyncControl(stage.endpoint) as control:
        assert started(stage, 0, 100).told == [], "nothing is wanted"
        async with control.events("connect.", "message.den"):
            wanted = WatchEvents([b"connect.", b"message.den"])
            for child in stage.pretended:
                assert child.told[-1] == wanted
            assert started(stage, 1, 101).told == [wanted]
        await eventually(lambda: stage.pretended[0].told[-1] == WatchEvents([]), "nothing is wanted any more")


async def test_events_of_workers_go_out_and_what_a_worker_dropped_is_seen_as_a_gap(tmp_path: Path) -> None:
    async with (
        control_stage(tmp_path) as stage,
        AsyncControl(stage.endpoint) as control,
        control.events("connect.") as stream,
    ):
        event = msgspec.msgpack.encode({"kind": "connect", "time": 1.5, "room": "den", "connection": "ada", "shard": 1})
        for dropped in (0, 7):
            stage.plane.take_events(stage.children[0], Events([(b"connect.den", event)], dropped))
        async with asyncio.timeout(5):
            one, two = [await anext(stream) for _ in range(2)]
        assert (one.connection, one.room, one.shard, one.time, one.missed) == ("ada", "den", 1, 1.5, False)
        assert (two.seq - one.seq, two.missed) == (8, True)


@pytest.mark.parametrize(
    ("server_key", "client_keys", "missing"),
    [("server.key_secret", None, "--control-client-keys"), (None, "clients", "--control-server-key")],
)
async def test_one_half_of_the_keys_is_refused(
    server_key: str | None, client_keys: str | None, missing: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingError, match=f"{missing}: is missing: CURVE needs both the server's key pair"):
        async with control_stage(tmp_path, control_server_key=server_key, control_client_keys=client_keys):
            pass


async def test_keys_that_cannot_be_read_are_refused_by_the_name_of_their_setting(tmp_path: Path) -> None:
    _, secret = write_pair(tmp_path, "server")
    with pytest.raises(SettingError, match=f"--control-server-key: {tmp_path}/none cannot be read"):
        async with control_stage(tmp_path, control_server_key=f"{tmp_path}/none", control_client_keys=str(secret)):
            pass
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingError, match=f"--control-client-keys: {tmp_path}/empty contains no public keys"):
        async with control_stage(tmp_path, control_server_key=str(secret), control_client_keys=f"{tmp_path}/empty"):
            pass


async def test_start_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """The fixtures look for descriptors and files; what was there before is another's and stays."""
    (tmp_path / "f").mkdir(mode=0o700)
    (tmp_path / "f" / "c").write_text("precious")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        # Its own port is taken, and that of its events.
        for control in (f"ipc://{tmp_path}/f/c", f"tcp://127.0.0.1:{port}", f"tcp://127.0.0.1:{port - 1}"):
            with pytest.raises(StartError, match="choose another --control"):
                async with control_stage(tmp_path, control=control, up=False):
                    raise AssertionError("it has started")
    assert [path.name for path in (tmp_path / "f").iterdir()] == ["c"]


async def test_path_of_the_control_socket_is_free_again_after_the_end(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir(mode=0o700)
    for _ in range(2):
        async with control_stage(tmp_path, control=f"ipc://{tmp_path}/f/c") as stage:
            assert stage.endpoint == f"ipc://{tmp_path}/f/c"
            assert {path.name for path in (tmp_path / "f").iterdir()} == {"c", "c.events", "c.lock"}
        assert list((tmp_path / "f").iterdir()) == []


async def test_clients_with_keys_steer_a_server_that_wants_some_and_others_learn_why_not(tmp_path: Path) -> None:
    server_key, server_secret = write_pair(tmp_path, "server")
    (tmp_path / "clients").mkdir()
    _, known = write_pair(tmp_path / "clients", "known")
    _, stranger = write_pair(tmp_path, "stranger")
    async with control_stage(
        tmp_path,
        up=False,
        control="tcp://127.0.0.1:*",
        control_server_key=str(server_secret),
        control_client_keys=str(tmp_path / "clients"),
    ) as stage:
        async with (
            AsyncControl(stage.endpoint, server_key=server_key, client_key=known) as control,
            control.events("worker.") as stream,
        ):
            assert (await control.ping()).events.startswith("tcp://127.0.0.1:")
            started(stage, 0, 100)
            assert await taken(stream, 1) == [("worker.started", 0, 100)], "the events want keys too"
        async with AsyncControl(stage.endpoint, server_key=server_key, client_key=stranger, timeout=0.3) as control:
            with pytest.raises(ControlError, match="does not accept this client's key"):
                await control.ping()


async def test_bridge_is_told_which_worker_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(BridgeService, "shard_down", lambda _, shard: told.append(shard))
    async with control_stage(tmp_path, app="bridge") as stage:
        started(stage, 1, 101)
        stage.plane.worker_down(stage.children[1])
    assert told == [1]


async def test_second_client_of_a_name_gets_nothing_of_a_programs(tmp_path: Path) -> None:
    async with control_stage(tmp_path, app="bridge") as stage:
        with dealers() as peers:
            named = peers.dial(stage.endpoint, identity=b"bot")
            assert (await named.error("attach"))[0] == "bad_request"
            program = peers.dial(stage.endpoint)
            assert (await program.ask("attach"))["ok"]
            assert (await named.error("detach")) == (
                "bad_request",
                "wspulse: bad request: detach: this peer is not attached",
            )
