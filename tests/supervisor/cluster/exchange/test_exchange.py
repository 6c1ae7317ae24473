"""The gateway's sockets: who is let in when, what goes past the feed, what is wanted for how long, and the files."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from tests.support.buses.stage import GatewayStage
from tests.support.eventually import eventually
from wspulse.actors.bus.cluster.buckets import BUCKETS, PARTITIONS, bucket_of, partition_of
from wspulse.actors.bus.message import pack_echo, room_topic
from wspulse.supervisor.cluster.exchange.exchange import Exchange
from wspulse.supervisor.errors import StartError


@asynccontextmanager
async def staged(
    folder: Path, hosts: int = 1, count: int = 2, draw: Random | None = None
) -> AsyncIterator[GatewayStage]:
    stage = GatewayStage(folder, hosts, draw)
    try:
        for _ in range(count):
            stage.add()
        yield stage
    finally:
        stage.close()


class SlowProofs:
    """A feed that proves nothing until it is told."""

    def __init__(self, stage: GatewayStage) -> None:
        self.feed = stage.hosts[0].feed
        self.proofs: dict[int, Callable[[int], None]] = {}
        want = self.feed.want

        def hold(bucket: int, proven: Callable[[int], None], after: int | None = None) -> None:
            want(bucket, lambda sequence: self.proofs.__setitem__(bucket, lambda _: proven(sequence)), after)

        self.feed.want = hold  # type: ignore[method-assign]

    def prove(self, room: str) -> None:
        self.proofs[bucket_of(room_topic(room))](0)


def test_rooms_are_spread_over_all_buckets_and_partitions() -> None:
    buckets = {bucket_of(room_topic(f"room{number}")) for number in range(40_000)}
    assert buckets == set(range(BUCKETS))
    assert {partition_of(bucket) for bucket in range(PARTITIONS)} == set(range(PARTITIONS))


async def test_probe_waits_until_every_bucket_that_was_wanted_before_it_is_proven(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        proofs = SlowProofs(stage)
        first = asyncio.create_task(stage[0].join("one"))
        await eventually(lambda: len(proofs.proofs) == 1, "one is subscribed to")
        second = asyncio.create_task(stage[1].join("one", "two"))
        await eventually(lambda: len(proofs.proofs) == 2, "both are")
        await asyncio.sleep(0.05)  # a probe has long come and gone
        assert not first.done()
        proofs.prove("two")
        await asyncio.sleep(0.05)
        assert not first.done()
        assert not second.done()
        proofs.prove("one")
        async with asyncio.timeout(5):
            await asyncio.gather(first, second)


async def test_room_begins_where_its_partition_is_when_it_is_joined(tmp_path: Path) -> None:
    async with staged(tmp_path, count=1) as stage:
        only, streams = stage[0], stage.streams
        partition = partition_of(bucket_of(room_topic("room")))
        streams.last[partition] = 1000
        await only.join("room")
        assert only.bus.seen("room") == 1000  # type: ignore[attr-defined]
        await only.bus.publish_when_free("room", b"frame")
        await eventually(lambda: only.delivered, "it has come")
        assert only.bus.seen("room") == 1001  # type: ignore[attr-defined]
        only.bus.leave("room")
        assert only.bus.seen("room") == 0  # type: ignore[attr-defined]


async def test_newcomer_gets_nothing_again_that_came_before_it_joined(tmp_path: Path) -> None:
    """The gateway that comes back begins where it certainly was, which lies before the newcomer."""
    async with staged(tmp_path) as stage:
        first, newcomer = stage.endpoints
        await first.join("room")
        for number in range(20):
            await first.bus.publish_when_free("room", b"%d" % number)
        await eventually(lambda: len(first.delivered) == 20, "all has come")
        await newcomer.join("room")
        stage.hosts[0].kill()
        stage.hosts[0].start()
        async with asyncio.timeout(10):
            await first.bus.publish_when_free("room", b"last")
        await eventually(lambda: newcomer.delivered and len(first.delivered) == 21, "the gateway is back")
        assert newcomer.of("room") == [b"last"]
        assert first.of("room") == [*(b"%d" % number for number in range(20)), b"last"]


async def test_echo_comes_back_while_nothing_is_kept(tmp_path: Path) -> None:
    async with staged(tmp_path, count=1) as stage:
        only = stage[0]
        await only.join("room")
        came: list[bytes] = []
        only.shared.echoed = came.append
        stage.hold_back()
        assert only.bus.publish("room", b"frame")
        only.shared.publish_echo(pack_echo(0, 1, 7))
        await eventually(lambda: came, "the echo has come")
        assert not only.delivered
        stage.let_go()


async def test_mark_waits_for_what_was_acknowledged_and_has_not_come(tmp_path: Path) -> None:
    """Of another worker: its frame is kept, and on its way here when the cut comes."""
    async with staged(tmp_path) as stage:
        source, other = stage.endpoints
        await source.join("room")
        order: list[object] = []
        await source.watch_cuts(source.incarnation, order.append)
        feed = stage.hosts[0].feed
        deliver, late = feed.deliver, []
        feed.deliver = lambda *message: late.append(message)
        await other.bus.publish_when_free("room", b"frame")
        source.shared.cut(1)
        await eventually(lambda: stage.hosts[0].exchange._held, "the cut is held")
        assert (order, source.delivered) == ([], [])
        feed.deliver = deliver
        for message in late:
            deliver(*message)
        await eventually(lambda: order == [1], "the cut has come")
        assert source.of("room") == [b"frame"]


async def test_bucket_is_unwanted_a_while_after_its_last_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wspulse.supervisor.cluster.exchange.exchange._TICK_S", 0.02)
    monkeypatch.setattr("wspulse.supervisor.cluster.exchange.exchange._LINGER_S", 0.2)
    async with staged(tmp_path) as stage:
        wishes, bucket = stage.hosts[0].feed.wishes, bucket_of(room_topic("room"))
        for each in stage.endpoints:
            await each.join("room")
        wish = wishes[bucket]
        stage[0].bus.leave("room")
        stage[1].bus.leave("room")
        await eventually(lambda: stage.hosts[0].exchange._wanted.buckets[bucket].topics == 0, "nobody is there")
        await stage[0].join("room")
        assert wishes[bucket] is wish, "who comes back soon finds it as it was"
        stage[0].bus.leave("room")
        await eventually(lambda: bucket not in wishes, "it is not wanted any more")
        assert stage.hosts[0].positions.of(bucket) is None
        await stage[1].join("room")
        await stage[0].bus.publish_when_free("room", b"frame")
        await eventually(lambda: stage[1].delivered, "it is wanted again")


async def test_hosts_get_what_the_others_publish_and_their_own(tmp_path: Path, draw: Random) -> None:
    async with staged(tmp_path, hosts=3, count=3, draw=draw) as stage:
        for each in stage.endpoints:
            await each.join("room")
        await asyncio.gather(*(each.bus.publish_when_free("room", b"%d" % each.host) for each in stage.endpoints))
        await eventually(lambda: all(len(each.delivered) == 3 for each in stage.endpoints), "all has come")
        assert all(each.delivered == stage[0].delivered for each in stage.endpoints)


async def test_message_that_is_none_is_skipped_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with staged(tmp_path, count=1) as stage:
        await stage[0].join("room")
        stage[0].shared.publish_echo(b"r without an end")
        await stage[0].bus.publish_when_free("room", b"frame")
        await eventually(lambda: stage[0].delivered, "what is behind it has come")
        (said,) = [record for record in caplog.records if record.name == "wspulse.cluster"]
        assert said.exc_info is not None
        assert isinstance(said.exc_info[1], ValueError | struct.error)


async def test_message_of_the_stream_that_is_none_harms_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with staged(tmp_path, count=1) as stage:
        await stage[0].join("room")
        await stage.hosts[0].feed.publish(
            bucket_of(room_topic("room")),
            "somebody else's",
            b"nonsense",
            deadline=asyncio.get_running_loop().time() + 5,
        )
        await stage[0].bus.publish_when_free("room", b"frame")
        await eventually(lambda: stage[0].delivered, "what is behind it has come")
        assert [record.levelname for record in caplog.records if record.name == "wspulse.cluster"] == ["ERROR"]


async def test_socket_whose_file_is_gone_is_bound_again_and_nobody_loses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wspulse.supervisor.cluster.exchange.exchange._TICK_S", 0.02)
    async with staged(tmp_path, count=1) as stage:
        await stage[0].join("room")
        paths = [Path(path) for path in stage.hosts[0].paths]
        for path in paths:
            path.unlink()
        await eventually(lambda: all(path.is_socket() for path in paths), "they are bound again")
        later = stage.add()
        await later.join("room")
        for each in stage.endpoints:
            await each.bus.publish_when_free("room", b"frame")
        await eventually(lambda: all(len(each.delivered) == 2 for each in stage.endpoints), "all has come")


async def test_exchange_leaves_no_file_that_was_not_there_and_says_where_it_cannot_be(tmp_path: Path) -> None:
    async with staged(tmp_path, count=0) as stage:
        host = stage.hosts[0]
        await host.exchange.stop()
        assert not any(map(os.path.exists, host.paths))
        nowhere = f"{tmp_path}/nowhere/socket"
        for paths in ((nowhere, host.paths[1]), (host.paths[0], nowhere)):
            with pytest.raises(StartError, match=f"the bus cannot be opened at {nowhere}"):
                Exchange(*paths, host.feed, host.positions, 2)
        assert not any(map(os.path.exists, host.paths))


async def test_exchange_that_stops_has_published_what_it_had(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        host = stage.hosts[0]
        await stage[1].join("room")
        stage.hold_back()
        assert stage[0].bus.publish("room", b"frame")
        await eventually(lambda: host.exchange._outgoing._chains, "it has come to the gateway")
        stopping = asyncio.create_task(host.exchange.stop(5))
        await asyncio.sleep(0)
        stage.let_go()
        await stopping
        assert len(stage.streams.messages) == 1


async def test_worker_that_never_heard_of_a_gateway_hears_of_the_next(tmp_path: Path) -> None:
    """It has published and joined while none was there."""
    async with staged(tmp_path, count=1) as stage:
        stage.hosts[0].kill()
        late = stage.add()
        joining = asyncio.create_task(late.join("room"))
        assert late.bus.publish("room", b"frame")
        await asyncio.sleep(0.01)
        stage.hosts[0].start()
        await joining
        await late.bus.publish_when_free("room", b"last")
        await eventually(lambda: late.of("room")[-1:] == [b"last"], "all has come")
        assert len(stage.streams.messages) == 2
