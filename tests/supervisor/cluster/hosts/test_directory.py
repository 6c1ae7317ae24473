"""`Directory`: of all that want an id exactly one has it."""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import Any

import pytest
from nats.aio.msg import Msg

from tests.support.cluster.flaky_client import FlakyClient
from tests.support.cluster.hosts_stage import CLUSTER, Host, connected, host_info, hosts_on
from tests.support.processes.nats_servers import NatsServers
from wspulse.supervisor.cluster.hosts.errors import DirectoryUnavailableError, Lost, Taken
from wspulse.supervisor.cluster.hosts.records import Entry

STREAM = f"KV_WSPULSE_{CLUSTER}"


async def test_id_that_is_claimed_is_found_everywhere_until_it_is_released(url: str) -> None:
    async with hosts_on(url, "a", "b") as (a, b):
        assert await b.directory.find("x") is None
        revision = await a.directory.claim("x", a.entry(1))
        assert await b.directory.find("x") == (a.entry(1), revision)
        await a.directory.release("x", revision)
        assert await b.directory.find("x") is None
        assert await b.directory.claim("x", b.entry(1)) > revision


async def test_id_of_a_live_host_is_taken_and_moved_from_its_revision_alone(url: str) -> None:
    async with hosts_on(url, "a", "b", "c") as (a, b, c):
        revision = await a.directory.claim("x", a.entry(1))
        with pytest.raises(Taken, match="taken by host 'a'") as taken:
            await b.directory.claim("x", b.entry(1))
        assert (taken.value.entry, taken.value.revision) == (a.entry(1), revision)
        moved = await b.directory.move("x", b.entry(1), revision)
        assert moved > revision
        with pytest.raises(Lost, match="host 'b' has it") as lost:
            await c.directory.move("x", c.entry(1), revision)
        assert lost.value.entry == b.entry(1)
        await a.directory.release("x", revision)  # too late: it is not this any more
        assert await c.directory.find("x") == (b.entry(1), moved)
        await b.directory.release("x", moved)
        with pytest.raises(Lost, match="nobody has it") as lost:
            await c.directory.move("x", c.entry(1), moved)
        assert lost.value.entry is None


async def test_second_session_of_an_id_on_its_own_host_finds_it_taken(url: str) -> None:
    async with hosts_on(url, "a") as (a,):
        await a.directory.claim("x", a.entry(1))
        with pytest.raises(Taken):
            await a.directory.claim("x", a.entry(2))


async def test_own_entry_is_claimed_anew_at_another_revision(url: str) -> None:
    async with hosts_on(url, "a") as (a,):
        revision = await a.directory.claim("x", a.entry(1))
        anew = await a.directory.claim("x", a.entry(1))
        assert anew > revision
        assert await a.directory.find("x") == (a.entry(1), anew)


async def test_ids_that_look_alike_are_different_ids(url: str) -> None:
    ids = ["a", "A", "a ", " a", "a.b", "a.*", ">", "", "\u0430", "é", "e\u0301", "a\x00", "x" * 256, "$KV.a", "\ud800"]
    async with hosts_on(url, "a") as (a,):
        revisions = [await a.directory.claim(each, a.entry(number)) for number, each in enumerate(ids)]
        for number, each in enumerate(ids):
            assert await a.directory.find(each) == (a.entry(number), revisions[number])


async def test_entry_of_a_host_that_is_gone_counts_as_absent(url: str) -> None:
    async with hosts_on(url, "a") as (a,):
        b = Host(await connected(url), host_info("b"))
        await b.join()
        await b.directory.claim("x", b.entry(1))
        with pytest.raises(Taken):
            await a.directory.claim("x", a.entry(1))
        await b.end()  # without a word about its ids
        await a.sees("a")
        assert await a.directory.find("x") is None
        revision = await a.directory.claim("x", a.entry(1))
        assert await a.directory.find("x") == (a.entry(1), revision)


async def test_entry_of_an_earlier_life_of_a_host_counts_as_absent(url: str) -> None:
    async with hosts_on(url, "a", "b") as (a, b):
        await b.directory.claim("x", Entry("b", b.info.life - 1, 1, 1))
        assert await a.directory.find("x") is None
        await a.directory.claim("x", a.entry(1))


async def test_entry_of_a_live_host_that_was_not_heard_of_yet_is_not_replaced(url: str) -> None:
    async with hosts_on(url, "a") as (a,):
        assert a.membership._subscription is not None
        await a.membership._subscription.unsubscribe()
        b = Host(await connected(url), host_info("b"))
        await b.join()
        await b.directory.claim("x", b.entry(1))
        assert "b" not in a.membership.hosts
        with pytest.raises(Taken):
            await a.directory.claim("x", a.entry(1))
        await b.end()


async def test_claim_anew_wins_over_a_host_that_saw_the_owner_as_gone_just_before(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hosts_on(url, "a", "b") as (a, b):
        await a.directory.claim("x", a.entry(1))
        looked, may_go_on = asyncio.Event(), asyncio.Event()
        real = b.membership.is_alive

        async def was_away(host: str, life: int) -> bool:
            if may_go_on.is_set():
                return await real(host, life)
            looked.set()
            await may_go_on.wait()
            return False

        monkeypatch.setattr(b.membership, "is_alive", was_away)
        taking = asyncio.create_task(b.directory.claim("x", b.entry(1)))
        await looked.wait()
        revision = await a.directory.claim("x", a.entry(1))
        may_go_on.set()
        with pytest.raises(Taken):
            await taking
        assert await b.directory.find("x") == (a.entry(1), revision)


async def test_claims_and_releases_leave_nothing_in_the_stream(url: str) -> None:
    async with hosts_on(url, "a") as (a,):
        bucket = a.client.jetstream()

        async def some(first: int) -> None:
            for number in range(first, 2000, 50):
                await a.directory.release(str(number), await a.directory.claim(str(number), a.entry(number)))

        await asyncio.gather(*[some(first) for first in range(50)])
        deadline = time.monotonic() + 10
        while (await bucket.stream_info(STREAM)).state.messages > 1:  # that of this host itself
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


async def test_claim_that_is_cancelled_leaves_nothing_behind(url: str, draw: Random) -> None:
    async with hosts_on(url, "a", "b") as (a, b):

        async def claimed_in_vain(number: int) -> None:
            task = asyncio.create_task(a.directory.claim(str(number), a.entry(number)))
            for _ in range(draw.randrange(12)):
                await asyncio.sleep(0)
            await asyncio.sleep(draw.random() * 0.01)
            task.cancel()
            try:
                revision = await task
            except asyncio.CancelledError:
                return
            await a.directory.release(str(number), revision)

        await asyncio.gather(*[claimed_in_vain(number) for number in range(80)])
        await a.owes_nothing()
        for number in range(80):
            await b.directory.claim(str(number), b.entry(number))


async def test_cancellation_that_comes_with_the_answer_is_one(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with hosts_on(url, "a", "b") as (a, b):
        real = a.client.request

        async def as_of_python_3_11(*arguments: Any, **options: Any) -> Msg:
            answer = asyncio.ensure_future(real(*arguments, **options))
            try:
                await asyncio.wait({answer})
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                await asyncio.wait({answer})
            return await answer

        monkeypatch.setattr(a.client, "request", as_of_python_3_11)
        claiming = asyncio.create_task(a.directory.claim("x", a.entry(1)))
        await asyncio.sleep(0.005)
        claiming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await claiming
        await a.owes_nothing()
        await b.directory.claim("x", b.entry(1))


@pytest.mark.race
@pytest.mark.parametrize("share", [0.0, 0.3], ids=["answered", "flaky"])
async def test_of_many_that_want_an_id_exactly_one_has_it(
    url: str, draw: Random, race_rounds: int, share: float
) -> None:
    holders: dict[str, tuple[Entry, int]] = {}
    serials = iter(range(10**6))
    async with hosts_on(url, "a", "b", "c") as hosts:
        clients = [FlakyClient.of(host.client, draw, share) for host in hosts]

        async def live() -> None:
            for _ in range(race_rounds * (2 if share else 4)):
                host, wanted = draw.choice(hosts), draw.choice("xyz")
                entry = host.entry(next(serials))
                await asyncio.sleep(draw.random() * 0.01)
                other: tuple[Entry, int] | None = None
                try:
                    revision = await host.directory.claim(wanted, entry)
                except Taken as taken:
                    other = taken.entry, taken.revision
                if other is not None:
                    if holders.get(wanted) != other:  # nobody who knows that it has it could give it up
                        continue
                    try:
                        revision = await host.directory.move(wanted, entry, other[1])
                    except Lost:
                        continue
                    assert holders.pop(wanted, other) == other
                assert wanted not in holders
                holders[wanted] = entry, revision
                await asyncio.sleep(draw.random() * 0.02)
                if holders.get(wanted) == (entry, revision):
                    del holders[wanted]
                    await host.directory.release(wanted, revision)

        await asyncio.gather(*[live() for _ in range(12)])
        for client in clients:
            await client.settled()
        for host in hosts:
            await host.owes_nothing()
        for wanted in "xyz":
            assert await hosts[0].directory.find(wanted) == holders.get(wanted)
        assert share == 0.0 or sum(client.faults for client in clients) > 10


async def test_while_nats_is_stopped_claims_fail_in_time_and_releases_are_made_good(
    url: str, servers: NatsServers
) -> None:
    async with hosts_on(url, "a", "b") as (a, b):
        a.directory._timeout_s = 1.1
        revisions = {each: await a.directory.claim(each, a.entry(1)) for each in "xyz"}
        servers.pause(0)
        try:
            failing = [asyncio.create_task(a.directory.claim(each, a.entry(2))) for each in "uvw"]
            await asyncio.gather(*[a.directory.release(each, revision) for each, revision in revisions.items()])
            for task in failing:
                with pytest.raises(DirectoryUnavailableError, match=r"NATS did not do it within 1\.1 s"):
                    await task
        finally:
            servers.go_on(0)
        await a.owes_nothing()
        for each in "uvwxyz":
            await b.directory.claim(each, b.entry(1))
