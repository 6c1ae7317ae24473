"""`Membership`: who is a member, and for how long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.support.cluster.hosts_stage import CLUSTER, TTL_S, Host, connected, host_info, hosts_on
from tests.support.eventually import eventually
from wspulse.actors.cluster.lease import lease_clock
from wspulse.supervisor.cluster.errors import ClusterError
from wspulse.supervisor.cluster.hosts.records import HostInfo, host_key

STREAM = f"KV_WSPULSE_{CLUSTER}"


async def joined(url: str, info: HostInfo) -> Host:
    host = Host(await connected(url), info)
    try:
        await host.join()
    except ClusterError:
        await host.end()
        raise
    return host


async def test_hosts_see_each_other_come_and_go_at_once(url: str) -> None:
    async with hosts_on(url, "a", "b") as (a, b):
        assert a.membership.hosts["b"] == b.info
        assert a.lease.is_held()
        c = await joined(url, host_info("c"))
        await a.sees("a", "b", "c")
        before = len(a.events)
        began = time.monotonic()
        await c.end()
        await a.sees("a", "b")
        assert time.monotonic() - began < 0.9 * TTL_S
        assert a.events[before:] == ["changed"]


async def test_log_says_who_came_who_left_and_who_is_gone_without_a_word(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    def told(host: str) -> list[str]:
        return [record.message for record in caplog.records if getattr(record, "host", "") == host]

    came, left, gone = (
        "another host is in the cluster",
        "a host has left the cluster",
        "a host is gone from the cluster",
    )
    with caplog.at_level("INFO", "wspulse.cluster"):
        async with hosts_on(url, "a") as (a,):
            b, c = await joined(url, host_info("b")), await joined(url, host_info("c"))
            await a.sees("a", "b", "c")
            await b.sees("a", "b", "c")
            await a.is_renewed()
            assert told("c").count(came) == 2, "of a and of b, once each"
            await b.end()
            await a.sees("a", "c")
            await c.sees("a", "c")
            await c.vanish()
            await a.sees("a")
    assert told("b").count(left) == 2, "of a and of c"
    assert sum(text.startswith(gone) for text in told("c")) == 1
    assert left not in told("c")


async def test_workers_of_a_host_are_known_elsewhere_long_before_its_next_renewal(url: str) -> None:
    async with hosts_on(url, "a", "b", ttl_s=100 * TTL_S) as (a, b):
        for workers in (((0, 1), (1, 2)), ((0, 1),)):
            b.membership.describe(3, workers)
            await eventually(lambda now=workers: a.membership.hosts["b"].shards == now, "they are known")  # type: ignore[misc]
        assert a.membership.hosts["b"].connections == 3


async def test_host_that_stops_renewing_disappears_and_one_that_is_not_heard_does_not(url: str) -> None:
    async with hosts_on(url, "a", "b") as (a, b):
        c = await joined(url, host_info("c"))
        await a.sees("a", "b", "c")
        await b.sees("a", "b", "c")
        assert a.membership._subscription is not None
        await a.membership._subscription.unsubscribe()  # it hears nobody from now on
        began = time.monotonic()
        await c.vanish()
        for host in (a, b):
            await host.sees("a", "b")
            assert 0.6 * TTL_S < time.monotonic() - began < 2 * TTL_S
        assert a.lease.is_held()
        assert a.events.count("changed") == 4
        assert "lost" not in a.events


async def test_ids_that_look_alike_are_different_hosts(url: str) -> None:
    names = ["web", "Web", "wéb", "we\u0301b", "web.*.>", "web web", " web", "w" * 255]
    async with hosts_on(url, *names) as hosts:
        assert set(hosts[0].membership.hosts) == set(names)


async def test_host_whose_predecessor_was_killed_waits_for_its_end_and_joins(url: str) -> None:
    async with hosts_on(url, "a") as (a,):
        b = await joined(url, host_info("b"))
        await b.vanish()
        began = time.monotonic()
        successor = await joined(url, host_info("b"))
        assert time.monotonic() - began < 3 * TTL_S
        await eventually(lambda: a.membership.hosts.get("b") == successor.info, "the new life is seen")
        await successor.end()


async def test_second_live_host_of_an_id_is_refused_with_where_the_first_one_is(url: str) -> None:
    async with hosts_on(url, "a", "b") as (a, b):
        with pytest.raises(
            ClusterError, match=r"a host 'b' is already in this cluster, at b\.example:8000: stop that one"
        ):
            await joined(url, host_info("b"))
        await a.sees("a", "b")
        assert b.lease.is_held()
        assert a.membership.hosts["b"] == b.info


async def test_gateway_that_takes_over_from_one_that_died_goes_on_with_its_key(url: str) -> None:
    async with hosts_on(url, "a") as (a,):
        first = await joined(url, host_info("b"))
        await a.sees("a", "b")
        before = len(a.events)
        second = Host(await connected(url), first.info, file=first.file)
        await first.client.close()
        await second.join()
        assert second.lease.is_held()
        assert second.lease.term == 1
        assert second.events == ["changed", "changed"]  # a and itself
        assert a.events[before:] == []
        await second.end()
        await first.end()


async def test_other_settings_are_refused_with_which_they_are(url: str) -> None:
    async with hosts_on(url, "a") as (a,):
        with pytest.raises(ClusterError, match="host 'a' of this cluster") as refused:
            await joined(url, host_info("b", on_duplicate="reject", codec="msgpack"))
        said = str(refused.value)
        assert "at a.example:8000 (wspulse 0), has other settings: codec is not set there and msgpack here; " in said
        assert "on_duplicate is kick there and reject here. They must be the same on all hosts: run the same" in said
        assert set(a.membership.hosts) == {"a"}


async def test_options_that_should_be_the_same_are_one_warning_as_often_as_they_differ(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    def warnings() -> list[tuple[str, str]]:
        records = [record for record in caplog.records if "served differently" in record.message]
        return [(record.__dict__["hosts"], record.__dict__["options"]) for record in records]

    async def describes(host: Host, seconds: int) -> None:
        host.membership.describe(options={"resume_window": f"{seconds} s"})
        for each in (a, b, c):
            await eventually(
                lambda each=each: each.membership.hosts[host.info.id].options == host.membership.me.options,  # type: ignore[misc]
                "heard",
            )

    async with hosts_on(url, "a", "b", "c") as (a, b, c):
        for host in (a, b, c):
            await describes(host, 30)
        assert warnings() == []
        await describes(a, 60)
        forth, back = "resume_window is 30 s there and 60 s here", "resume_window is 60 s there and 30 s here"
        assert sorted(warnings()) == [("a", back), ("a", back), ("b, c", forth)]
        caplog.clear()
        await describes(b, 60)  # the change goes on from host to host
        assert warnings() == [("c", forth)]
        await describes(c, 60)
        assert warnings() == [("c", forth)]


async def test_hosts_with_other_settings_that_join_at_once_do_not_both_stay(url: str, race_rounds: int) -> None:
    for _ in range(race_rounds):
        found = await asyncio.gather(
            joined(url, host_info("a")), joined(url, host_info("b", on_duplicate="reject")), return_exceptions=True
        )
        hosts = [host for host in found if isinstance(host, Host)]
        errors = [error for error in found if isinstance(error, ClusterError)]
        for host in hosts:
            await host.end()
        assert len(hosts) <= 1
        assert len(hosts) + len(errors) == 2


@pytest.mark.parametrize(("apart_s", "told"), [(5000, "1.4 hours ahead of"), (-7200, "2.0 hours behind")])
async def test_clock_that_is_hours_off_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch, apart_s: float, told: str
) -> None:
    real: Callable[[], float] = time.time
    monkeypatch.setattr("wspulse.supervisor.cluster.hosts.membership.time.time", lambda: real() + apart_s)
    with pytest.raises(ClusterError, match=f"this host's clock is {told} that of the NATS servers: set it"):
        await joined(url, host_info("a"))


async def test_stream_that_is_something_else_is_refused_with_what_differs(url: str) -> None:
    client = await connected(url)
    await client.jetstream().add_stream(name=STREAM, subjects=[f"$KV.WSPULSE_{CLUSTER}.>"])
    with pytest.raises(
        ClusterError, match=f"{STREAM} with other settings .*max_msgs_per_subject is -1, not 1.*stream rm"
    ):
        await joined(url, host_info("a"))
    await client.close()


async def test_replicas_that_the_servers_cannot_have_are_refused(url: str) -> None:
    host = Host(await connected(url), host_info("a"), replicas=3)
    with pytest.raises(ClusterError, match="JetStream does not make KV_WSPULSE_test: replicas > 1 not supported"):
        await host.join()
    await host.end()


async def test_key_that_is_no_host_is_refused(url: str) -> None:
    async with hosts_on(url, "a") as (a,):
        await a.client.publish(f"$KV.WSPULSE_{CLUSTER}.{host_key('b')}", b"[]")
        await a.client.flush()
        with pytest.raises(ClusterError, match="holds something else"):
            await joined(url, host_info("b"))
        assert set(a.membership.hosts) == {"a"}


async def test_key_of_a_member_that_a_person_deletes_is_lost_and_regained(url: str) -> None:
    async with hosts_on(url, "a", "b") as (a, b):
        before = len(a.events)
        await a.client.jetstream().purge_stream(STREAM, subject=f"$KV.WSPULSE_{CLUSTER}.{host_key('a')}")
        await eventually(lambda: a.events[before:] == ["lost", "regained"], "the key is written again")
        assert a.lease.is_held()
        assert a.lease.term == 2
        assert "lost" not in b.events


async def test_id_that_another_host_took_in_the_meantime_is_regained_when_it_leaves(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with hosts_on(url, "a", "b") as (a, b):
        key, other = host_key("a"), host_info("a")
        before = len(a.events)
        store = await b.client.jetstream().key_value(f"WSPULSE_{CLUSTER}")
        await store.put(key, msgspec.json.encode(other))
        await eventually(lambda: "lost" in a.events, "another one has the key")
        assert not a.lease.is_held()
        assert b.membership.hosts["a"] == other
        await store.purge(key)
        await a.is_told("regained")  # it has left
        await eventually(lambda: b.membership.hosts.get("a") == a.info, "it is seen")
        assert [event for event in a.events[before:] if event != "changed"] == ["lost", "regained"]
        assert caplog.messages.count("another host has this host's id") == 1


async def test_lease_counts_from_the_sending_of_a_renewal(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with hosts_on(url, "a") as (a,):
        real = a.membership.bucket.put
        sent_at: list[float] = []

        async def slow(*arguments: Any, **options: Any) -> int:
            sent_at.append(lease_clock())
            revision = await real(*arguments, **options)
            await asyncio.sleep(0.5)
            return revision

        monkeypatch.setattr(a.membership.bucket, "put", slow)
        await a.is_renewed()
        assert a.lease.until < sent_at[-1] + TTL_S


async def test_bucket_that_is_deleted_is_made_anew_with_higher_revisions(url: str) -> None:
    async with hosts_on(url, "a", "b") as (a, b):
        revision = await a.directory.claim("x", a.entry(1))
        await a.client.jetstream().delete_stream(STREAM)
        for host in (a, b):
            await host.is_told("regained")
            assert host.events[-2] == "lost"
        assert await a.directory.find("x") is None
        assert await b.directory.claim("x", b.entry(1)) > revision + 1000
        await a.directory.release("x", revision)
        assert await a.directory.find("x") is not None


async def test_what_is_stored_of_a_host_is_for_people_to_read(url: str) -> None:
    async with hosts_on(url, "a") as (a,):
        store = await a.client.jetstream().key_value(f"WSPULSE_{CLUSTER}")
        found = await store.get(host_key("a"))
        assert found.value is not None
        assert msgspec.json.decode(found.value)["address"] == "a.example:8000"
