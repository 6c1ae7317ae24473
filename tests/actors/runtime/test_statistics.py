"""What a shard knows of itself."""

from __future__ import annotations

from tests.support.eventually import eventually
from tests.support.shards.shards import Shards, serve_shards
from wspulse import Server
from wspulse.actors.mesh.message import GetStats


def make_server() -> Server:
    return Server(lambda request: ("lobby", request.query["id"]))


async def links_down(shards: Shards, shard: int) -> int:
    stats = await shards.runtimes[shard].refs[shard].ask(GetStats())
    down: int = stats["links_down"]
    return down


async def test_links_down_is_the_number_of_other_shards_that_cannot_be_reached() -> None:
    async with serve_shards(make_server, 3) as shards:
        links = shards.runtimes[0]._siblings.links
        await eventually(lambda: all(link.incarnation for link in links.values()), "the first reaches all others")
        assert await links_down(shards, 0) == 0
        await shards.stop_shard(2)
        await eventually(lambda: not links[2].incarnation, "it has seen the end of one")
        assert await links_down(shards, 0) == 1
        await shards.start_shard(2)
        await eventually(lambda: links[2].incarnation, "it is back")
        assert await links_down(shards, 0) == 0


async def test_links_down_is_zero_where_there_is_one_shard() -> None:
    async with serve_shards(make_server, 1) as shards:
        assert await links_down(shards, 0) == 0


async def test_what_is_amiss_with_a_worker_is_told() -> None:
    async with serve_shards(make_server, 1) as shards:
        runtime = shards.runtimes[0]
        runtime.health.fail("a folder is gone")
        assert (await runtime.refs[0].ask(GetStats()))["unwell"] == ["a folder is gone"]
        runtime.health.mend("a folder is gone")
        assert (await runtime.refs[0].ask(GetStats()))["unwell"] == []
