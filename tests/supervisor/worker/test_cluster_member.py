"""What a worker does in a new term of its host's lease; and how far its rooms are, of which sessions from other hosts are
told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from tests.support.buses.stage import GatewayStage
from tests.support.eventually import eventually
from wspulse.actors.bus.cluster.bus import ClusterBus
from wspulse.actors.bus.cluster.seat import ClusterSeat
from wspulse.actors.cluster.lease import Lease, lease_clock
from wspulse.supervisor.host.shared_file import SharedFile
from wspulse.supervisor.worker.cluster_member import ClusterMember, _Seen


class PromptGateway:
    """All has been forwarded whenever it is asked."""

    async def reach(self, _room_id: str, _sequence: int) -> None:
        await asyncio.sleep(0)


class FailingOnce:
    """Claims everything anew, but not the first time."""

    def __init__(self) -> None:
        self.calls = 0
        self.far = SimpleNamespace(living=lambda _hosts, _shards: None)

    async def claim_anew(self) -> None:
        self.calls += 1
        if self.calls == 1:
            raise KeyError("ada")


async def test_ids_are_claimed_anew_again_where_that_has_failed(tmp_path: Path) -> None:
    file, cluster = SharedFile(), FailingOnce()
    lease = Lease(file.descriptor, writable=True)
    lease.begin_term(lease_clock() + 100)
    runtime = SimpleNamespace(cluster=cluster, shard=None, join_cluster=lambda _gateway, _seen: None)
    member = ClusterMember(
        cast("Any", runtime), ClusterSeat(1, "A", gateway_path=f"{tmp_path}/gateway"), file.descriptor
    )
    member.open()
    try:
        assert member._gateway.is_held()
        lease.begin_term(lease_clock() + 100)
        assert not member._gateway.is_held()
        await eventually(member._gateway.is_held, "it decides again")
        assert cluster.calls == 2
    finally:
        await member.close()
        lease.close()
        file.close()


async def test_what_comes_again_from_a_new_gateway_is_not_taken_for_delivered(tmp_path: Path) -> None:
    stage = GatewayStage(tmp_path, 2, None)
    try:
        here, there = stage.add(0), stage.add(1)
        for each in (here, there):
            await each.join("room")
        await there.bus.publish_when_free("room", b"first")
        await eventually(lambda: here.delivered, "it has come")
        bus = here.bus
        assert isinstance(bus, ClusterBus)
        seen = _Seen(cast("Any", SimpleNamespace(bus=bus)), cast("Any", PromptGateway()))
        stage.hosts[0].kill()
        await there.bus.publish_when_free("room", b"missed")
        await eventually(lambda: len(there.delivered) == 2, "it has come where there is a gateway")
        stage.hosts[0].start()
        await eventually(lambda: not bus.resumed, "the new gateway has heard that we are there")
        upto = there.bus.seen("room")  # type: ignore[attr-defined]
        async with asyncio.timeout(10):
            await seen.reach("room", upto)
        assert seen.seen("room") == upto
        assert here.of("room") == [b"first", b"missed"]
    finally:
        stage.close()
