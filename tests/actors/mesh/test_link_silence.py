"""Links to shards that read nothing: they keep nothing for nobody, and one fault harms no other."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from time import monotonic

import pytest

from tests.actors.mesh.test_link import Owner, shard_door, upgrade
from tests.support.eventually import eventually
from tests.support.shards.mesh_wall import KIB, fill, waiting_bytes, wall
from wspulse.actors.mesh import link as link_module
from wspulse.actors.mesh.message import (
    BusConsumed,
    Handover,
    Kick,
    SendFrame,
    UpgradeRequest,
    WatchClosed,
)
from wspulse.actors.values.errors import ShardUnavailableError


async def test_asks_that_failed_are_no_longer_on_their_way_to_a_shard_that_reads_nothing(tmp_path: Path) -> None:
    async with wall(tmp_path) as (shard, link):
        for _ in range(3):
            await fill(link)
            # What has begun to go: one piece.
            assert waiting_bytes(link) < 130 * KIB
        assert len(link._asks) == 0
        asking = asyncio.create_task(link.ask(Kick("after"), timeout_s=5))
        shard.read_on()
        await eventually(lambda: any("after" in str(envelope) for envelope in shard.read), "the stream is still whole")
        asking.cancel()
        # The kernel had some, and one had begun.
        assert 0 < len(shard.read) < 40


async def test_ask_whose_caller_is_cancelled_is_taken_back_and_leaves_nothing(tmp_path: Path) -> None:
    async with wall(tmp_path) as (_, link):
        await fill(link)
        before = waiting_bytes(link)
        asks = [asyncio.create_task(link.ask(SendFrame("x", b"x" * KIB), timeout_s=None)) for _ in range(2000)]
        await eventually(lambda: waiting_bytes(link) > 2000 * KIB, "they wait")
        for ask in asks:
            ask.cancel()
        await asyncio.gather(*asks, return_exceptions=True)
        assert waiting_bytes(link) == before
        assert len(link._asks) == 0


async def test_ask_that_is_sent_keeps_no_payload_while_it_waits_for_its_answer(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):
        owner = Owner(listener, 1)
        asking = asyncio.create_task(link.ask(WatchClosed("a", (1, 1)), timeout_s=None))
        await eventually(lambda: owner.pending, "it has arrived")
        assert [asked.message for asked in link._asks._asked.values()] == [None]
        asking.cancel()
        owner.mailbox.close()


async def test_shard_stops_waiting_for_what_a_cancelled_caller_asked_without_a_deadline(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):
        owner = Owner(listener, 1)
        asks = [asyncio.create_task(link.ask(WatchClosed(name, (1, 1)), timeout_s=None)) for name in "ab"]
        await eventually(lambda: len(owner.pending) == 2, "both have arrived")
        asks[0].cancel()
        await eventually(owner.pending[0].cancelled, "the shard waits no more")
        assert not owner.pending[1].done()
        owner.pending[1].set_result("gone")
        assert await asks[1] == "gone"
        owner.mailbox.close()


async def test_shard_stops_waiting_for_what_was_asked_without_a_deadline_when_the_asker_is_gone(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):
        owner = Owner(listener, 1)
        asking = asyncio.create_task(link.ask(WatchClosed("a", (1, 1)), timeout_s=None))
        await eventually(lambda: owner.pending, "it has arrived")
        link.close()
        await eventually(owner.pending[0].cancelled, "the shard waits no more")
        with pytest.raises(ShardUnavailableError):
            await asking
        owner.mailbox.close()


async def test_ask_that_cannot_be_encoded_fails_alone_and_leaves_nothing(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):
        early = asyncio.create_task(link.ask(Kick(object()), timeout_s=5))  # type: ignore[arg-type]
        other = asyncio.create_task(link.ask(Kick("other"), timeout_s=5))
        await eventually(lambda: len(link._asks) == 2, "both wait for the shard")
        owner = Owner(listener, 1)
        with pytest.raises(TypeError):
            await early
        assert await other == ["Kick", 1]
        with pytest.raises(TypeError):
            await link.ask(Kick(object()), timeout_s=5)  # type: ignore[arg-type]
        assert len(link._asks) == 0
        owner.mailbox.close()


@pytest.mark.parametrize("is_up", [False, True])
async def test_upgrade_that_cannot_be_encoded_comes_back_and_harms_no_other(tmp_path: Path, is_up: bool) -> None:
    async with shard_door(tmp_path) as (listener, link):
        owners = []
        if is_up:
            owners.append(Owner(listener, 1))
            await eventually(lambda: link.incarnation == 1, "the link is up")
        pipe = os.pipe()
        back: list[int] = []
        bad = UpgradeRequest("room", "bad", {"a": object()}, b"GET /", b"", None, monotonic() + 10, None)
        link.hand_over(bad, pipe[0], back.append)
        link.hand_over(upgrade(10), pipe[1], back.append)
        if not is_up:
            owners.append(Owner(listener, 1))
        (owner,) = owners
        await eventually(lambda: owner.taken, "the other has arrived")
        assert back == [pipe[0]]
        await eventually(lambda: not link._copies._copies, "the sender has let go")
        os.close(pipe[0])
        os.close(owner.taken[0][1])
        owner.mailbox.close()


async def test_descriptor_that_is_given_back_is_not_sent_any_more(tmp_path: Path) -> None:
    async with wall(tmp_path) as (shard, link):
        await fill(link)
        back: list[int] = []
        fd = os.open(os.devnull, os.O_RDONLY)
        link.hand_over(upgrade(-0.4), fd, back.append)
        await eventually(lambda: back == [fd], "its deadline has passed")
        os.close(fd)
        asking = asyncio.create_task(link.ask(Kick("after"), timeout_s=5))
        shard.read_on()
        await eventually(lambda: any("after" in str(envelope) for envelope in shard.read), "the stream is still whole")
        asking.cancel()
        assert not any(isinstance(envelope, Handover) for envelope in shard.read)


async def test_what_a_shard_is_told_and_does_not_read_is_bounded_by_the_end_of_its_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(link_module, "MOST_WAITING_BYTES", 64 * KIB)
    async with wall(tmp_path) as (_, link):
        downs: list[int] = []
        link._down = downs.append
        most = 0
        while link._stream is not None:
            for _ in range(1000):
                link.tell(BusConsumed(0, 1, 1))
                most = max(most, waiting_bytes(link))
            if most > 64 * KIB:
                with pytest.raises(ShardUnavailableError, match="does not read"):
                    await link.ask(Kick("a"))
            await asyncio.sleep(0)
        assert most < 65 * KIB
        await eventually(lambda: downs == [1], "the shard counts as gone")
    assert {record.message for record in caplog.records} == {
        "a shard does not read its messages; its stream is closed and opened again"
    }
    assert len(caplog.records) <= 2


async def test_giver_that_raises_for_what_it_gets_back_keeps_no_later_descriptor_here(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (_listener, link):
        back: list[int] = []

        def cannot(fd: int) -> None:
            back.append(fd)
            raise RuntimeError("a fault of the giver")

        loop = asyncio.get_running_loop()
        handler = loop.get_exception_handler()
        reported: list[object] = []
        loop.set_exception_handler(lambda _loop, context: reported.append(context.get("exception")))
        fds = os.pipe()
        link.hand_over(upgrade(-0.45), fds[0], cannot)
        link.hand_over(upgrade(-0.35), fds[1], back.append)
        await eventually(lambda: back == [*fds], "both come back")
        loop.set_exception_handler(handler)
        assert [str(error) for error in reported] == ["a fault of the giver"]
        for fd in fds:
            os.close(fd)


async def test_listener_that_raises_when_a_shard_appears_keeps_no_ask_and_no_descriptor_from_it(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):

        def cannot(_incarnation: int) -> None:
            raise RuntimeError("a fault of a listener")

        link._up = cannot
        link.hand_over(upgrade(10), os.open(os.devnull, os.O_RDONLY), lambda fd: pytest.fail(f"{fd} came back"))
        asking = asyncio.create_task(link.ask(Kick("early"), timeout_s=5))
        await eventually(lambda: len(link._asks), "it is asked")
        owner = Owner(listener, 1)
        assert await asking == ["Kick", 1]
        await eventually(lambda: owner.taken, "the descriptor has arrived too")
        os.close(owner.taken[0][1])
        await eventually(lambda: not link._copies._copies, "the sender has let go")
        owner.mailbox.close()
