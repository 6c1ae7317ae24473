"""What is done to the hosts of the cluster's crowd, and to NATS: each trial under its name in `TRIALS`."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.support.crowds.cluster.members import Member
from tests.support.crowds.cluster.stage import Host, Stage
from tests.support.eventually import eventually
from wspulse import AsyncControl
from wspulse.supervisor.cluster.feed.names import PARTITIONS

__all__ = ["TRIALS", "Trial"]

STEPS = 8
LEADERLESS_S = 30.0
"""An election takes some 4 s, and longer on a busy machine."""

FORGOTTEN_S = 20.0
"""A host is gone for the others 12 s after its last sign of life; they may be busy."""

BETWEEN_S = 1.0


@dataclass(frozen=True)
class Trial:
    act: Callable[[Stage], Coroutine[Any, Any, None]]
    servers: int = 1
    """Of NATS, and replicas."""
    is_proxied: bool = False
    """Whether each host has its NATS behind a gate."""
    may_lose: bool = False
    may_fail: bool = False
    is_long: bool = False
    """More than 25 s."""


async def _step_down(stage: Stage) -> None:
    for _ in range(STEPS):
        await asyncio.gather(
            *(_in_time(partial(stage.ask_jetstream, _STEP_DOWN.format(partition))) for partition in range(PARTITIONS))
        )
        await asyncio.sleep(BETWEEN_S)
    await stage.goes_on()


_STEP_DOWN = "STREAM.LEADER.STEPDOWN.WSPULSE_wspulse_{}"


async def _in_time(act: Callable[[], Awaitable[None]]) -> None:
    """A stream that elects has no leader to step down."""
    deadline = time.monotonic() + LEADERLESS_S
    while True:
        try:
            return await act()
        except (AssertionError, TimeoutError):
            assert time.monotonic() < deadline, "a stream has no leader"
            await asyncio.sleep(0.1)


async def _kill_one_server(stage: Stage) -> None:
    stage.nats.kill(0)
    await stage.goes_on("all talk without the server after s")
    stage.nats.start(0)
    await stage.goes_on("all talk with it after s")


async def _kill_only_server(stage: Stage) -> None:
    """While a host is cut off, so that something is acknowledged and lost."""
    proxy = stage.hosts[0].proxy
    assert proxy is not None
    proxy.silence()
    await asyncio.sleep(1.0)
    stage.nats.kill(0)
    proxy.cut()
    proxy.open()
    await asyncio.sleep(1.5)
    stage.nats.start(0)
    await stage.goes_on()
    await _are_ready(stage)


async def _kill_gateway(stage: Stage) -> None:
    host = stage.hosts[0]
    stage.kill(await stage.has_gateway(host))
    await stage.goes_on()


async def _kill_gateways(stage: Stage) -> None:
    """Twice in a row on one host, the second as soon as it is there, and once on the other meanwhile."""
    host, other = stage.hosts[:2]
    first = await stage.has_gateway(host)
    stage.kill(first)
    second = await stage.has_gateway(host, first)
    stage.kill(second, await stage.has_gateway(other))
    await stage.goes_on()


async def _kill_host(stage: Stage) -> None:
    host, *others = stage.hosts
    here, elsewhere = _by_host(stage, host)
    victims = stage.sessions_of(host)
    killed_at = time.monotonic()
    stage.kill_host(host)
    await asyncio.gather(
        stage.goes_on("all others talk after s", elsewhere),
        stage.goes_on("its clients talk elsewhere after s", here),
        _is_forgotten(stage, host, others, killed_at),
    )
    tokens = {session.token for session in victims}
    stage.facts["sessions that died"] = len(tokens)
    for member in elsewhere:
        stay = member.stay
        held = stay is not None and stay.opened_at < killed_at
        stage.expect(held or member.walks, f"{member.name} lost its connection to another host")


async def _is_forgotten(stage: Stage, host: Host, others: list[Host], killed_at: float) -> None:
    """By the lists of all others, its sessions' ids but those that are elsewhere by now."""
    for other in others:
        async with AsyncControl(other.process.control, timeout=10) as control:
            deadline = killed_at + FORGOTTEN_S
            while any(each.id == host.name for each in await control.hosts()):
                assert time.monotonic() < deadline, f"{other.name} lists {host.name}"
                await asyncio.sleep(0.1)
            listed = await control.connections()
            stage.expect(not [each for each in listed if each.host == host.name], f"{other.name} lists its sessions")
            rooms = {member.room for member in stage.members}
            present = [each for room in rooms for each in await control.presence(room)]
            stage.expect(not [each for each in present if each.host == host.name], f"{other.name}: they are in rooms")
            twice = [each for each, count in Counter(each.id for each in listed).items() if count > 1]
            stage.expect(not twice, f"{other.name} lists twice: {twice}")
    stage.facts["forgotten after s"] = round(time.monotonic() - killed_at, 1)


async def _stop_host(stage: Stage) -> None:
    host = stage.hosts[0]
    here, elsewhere = _by_host(stage, host)
    others = asyncio.create_task(
        stage.goes_on("all others talk after s", [each for each in elsewhere if not each.walks])
    )
    await stage.stand_still(host, 15.0)
    await others
    await stage.goes_on("all talk after s")
    await _are_ready(stage)
    stage.facts["its clients that came back elsewhere"] = sum(len(member.stays) > 1 for member in here)


def _cut_off(silent: bool, time_s: float) -> Callable[[Stage], Coroutine[Any, Any, None]]:
    async def act(stage: Stage) -> None:
        host = stage.hosts[0]
        assert host.proxy is not None
        _, elsewhere = _by_host(stage, host)
        others = [each for each in elsewhere if not each.walks]
        async with stage.apart(host):
            (host.proxy.silence if silent else host.proxy.cut)()
            goes_on = asyncio.create_task(stage.goes_on("all others talk after s", others))
            await asyncio.sleep(time_s)
            if time_s > 12:
                stage.expect(not await stage.is_ready(host), "a host that is cut off says that it is ready")
            host.proxy.open()
            await goes_on
            await stage.goes_on("all talk after s")
        await _are_ready(stage)

    return act


async def _nats_away_briefly(stage: Stage) -> None:
    await _still_walkers(stage)
    for host in stage.hosts:
        assert host.proxy is not None
        host.proxy.cut()
    try:
        await asyncio.sleep(1.0)
        await _send_on_own_host(stage)
        await asyncio.sleep(4.0)
    finally:
        for host in stage.hosts:
            assert host.proxy is not None
            host.proxy.open()
    await stage.goes_on()
    await _are_ready(stage)
    stage.expect(all(len(member.stays) == 1 for member in stage.members if not member.walks), "connections ended")


async def _nats_away_for_long(stage: Stage) -> None:
    await _still_walkers(stage)
    until = time.monotonic() + 15.0
    stage.nats.pause(0)
    try:
        await asyncio.gather(*(stage.until_ready(host, False, 12) for host in stage.hosts))
        newcomer = Member(
            "newcomer", "room-0", {host.name: host.process.url for host in stage.hosts}, 0, ["x"], 9, walks=False
        )
        dialling = asyncio.create_task(newcomer.run())
        await asyncio.sleep(1.0)
        await _send_on_own_host(stage)
        await eventually(lambda: newcomer.refused["503"], "a newcomer is refused with 503", 15)
        await eventually(lambda: stage.notes().failed["say", "ShardUnavailableError"], "a broadcast fails", 15)
        await asyncio.sleep(until - time.monotonic())
    finally:
        stage.nats.go_on(0)
    await stage.goes_on()
    await eventually(lambda: newcomer.stay, "the newcomer is let in", 15)
    await newcomer.leave()
    await dialling
    await _are_ready(stage)
    stage.expect(set(newcomer.refused) == {"503"}, f"a newcomer was refused with {dict(newcomer.refused)}")
    stage.expect(all(len(member.stays) == 1 for member in stage.members if not member.walks), "connections ended")


async def _worker_and_reload(stage: Stage) -> None:
    host, *_ = stage.hosts
    _, elsewhere = _by_host(stage, host)
    others = [each for each in elsewhere if not each.walks]
    stage.kill(host.process.worker_pids()[1])
    await stage.goes_on("all talk after a worker's death, s")
    async with AsyncControl(host.process.control, timeout=30) as control:
        await control.reload()
    await stage.goes_on("all talk after a reload, s")
    stage.expect(all(len(member.stays) == 1 for member in others), "another host's connection ended")


async def _still_walkers(stage: Stage) -> None:
    """None of them between two hosts: who dials while NATS is away is refused, and the others are."""
    for member in stage.members:
        member.may_walk = False
    await eventually(lambda: all(member.stay is not None for member in stage.members), "all are somewhere", 15)


async def _send_on_own_host(stage: Stage) -> None:
    """To one of its clients, by each host's control socket, in a second."""
    for host in stage.hosts:
        here, _ = _by_host(stage, host)
        async with AsyncControl(host.process.control, timeout=1) as control:
            await control.send(here[0].name, {"event": "note"})


async def _are_ready(stage: Stage) -> None:
    await asyncio.gather(*(stage.until_ready(host, True, 15) for host in stage.hosts))


def _by_host(stage: Stage, host: Host) -> tuple[list[Member], list[Member]]:
    here = [member for member in stage.members if member.stay is not None and member.stay.host == host.name]
    return here, [member for member in stage.members if member not in here]


TRIALS = {
    "step-down": Trial(_step_down, servers=3, is_long=True),
    "server": Trial(_kill_one_server, servers=3, may_fail=True),
    "only-server": Trial(_kill_only_server, is_proxied=True, may_lose=True),
    "gateway": Trial(_kill_gateway),
    "gateways": Trial(_kill_gateways),
    "host": Trial(_kill_host),
    "stopped": Trial(_stop_host, is_long=True),
    "cut-3": Trial(_cut_off(False, 3.0), is_proxied=True),
    "cut-20": Trial(_cut_off(False, 20.0), is_proxied=True, may_fail=True, is_long=True),
    "silent-3": Trial(_cut_off(True, 3.0), is_proxied=True),
    "silent-20": Trial(_cut_off(True, 20.0), is_proxied=True, may_fail=True, is_long=True),
    "nats-5": Trial(_nats_away_briefly, is_proxied=True),
    "nats-15": Trial(_nats_away_for_long, may_fail=True, is_long=True),
    "reload": Trial(_worker_and_reload),
}
