"""Presence over hosts: what is told is right in the end whatever was lost, and each is told once where nothing was."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from tests.actors.apps.presence_hosts_stage import HostsStage, StagedHost, hosts_stage, rooms_as_told
from tests.actors.apps.presence_stage import StagedMember


@pytest.fixture
def stage(draw: Random) -> Iterator[HostsStage]:
    with hosts_stage(draw) as stage:
        yield stage


def test_watcher_hears_of_members_of_another_host_each_once(stage: HostsStage) -> None:
    here, there = stage.start("A", 2), stage.start("B", 2)
    stage.settle(1.0)
    there[0].connect("ann")
    watcher = here[1].connect("watcher", asks=True)
    stage.settle(1.0)
    assert watcher.listed is not None
    assert rooms_as_told(watcher) == {"watcher": ("A", 1, "connected"), "ann": ("B", 0, "connected")}
    there[1].connect("bob")
    stage.settle(0.5)
    there[1].suspend("bob")
    stage.settle(0.5)
    there[1].end("bob")
    stage.settle(0.5)
    there[0].end("ann")
    stage.settle(0.5)
    assert watcher.changes == [("came", "bob"), ("dropped", "bob"), ("went", "bob"), ("went", "ann")]


def test_watcher_that_comes_is_told_first_of_all_hosts(stage: HostsStage) -> None:
    stage.delays_s = (0.1, 0.15)
    here, there = stage.start("A"), stage.start("B")
    stage.settle(2.0)
    there[0].connect("ann")
    watcher = here[0].connect("watcher", asks=True)
    stage.settle(2.0)
    assert [event for event, _ in watcher.frames] == ["presence.you", "presence.room"]
    assert watcher.listed is not None
    assert watcher.listed.keys() == {"watcher", "ann"}


def test_rooms_that_nobody_watches_are_asked_of_no_other_host(stage: HostsStage) -> None:
    hosts = [stage.start(name, 2) for name in "AB"]
    stage.settle(2.0)
    assert not stage.tasks
    for host in hosts:
        host[0].connect(f"{host.name}-1")
        host[0].suspend(f"{host.name}-1")
        host[0].end(f"{host.name}-1")
    assert not stage.tasks
    assert not any(process.presence._rooms for host in hosts for process in host.streams.processes.values())


def test_room_is_forgotten_on_all_hosts_with_its_last_watcher(stage: HostsStage) -> None:
    hosts = [stage.start(name) for name in "AB"]
    stage.settle(1.0)
    hosts[0][0].connect("watcher", asks=True)
    stage.settle(1.0)
    assert all("tea" in host[0].presence._rooms for host in hosts)
    hosts[0][0].end("watcher")
    stage.settle(1.0)
    assert not any(host[0].presence._rooms for host in hosts)


def test_members_of_a_host_that_died_are_told_once_and_no_late_word_brings_them_back(stage: HostsStage) -> None:
    here, there = stage.start("A"), stage.start("B", 2)
    stage.settle(1.0)
    watcher = here[0].connect("watcher", asks=True)
    for seat, name in enumerate(("ann", "bob")):
        there[seat].connect(name)
    stage.settle(1.0)
    there[0].connect("cem")  # of which nobody here has heard when it dies
    stage.kill("B")
    stage.settle(5.0)
    assert sorted(watcher.changes)[-2:] == [("went", "ann"), ("went", "bob")]
    assert rooms_as_told(watcher) == {"watcher": ("A", 0, "connected")}
    back = stage.start("B", 2)
    back[0].connect("ann")
    stage.settle(2.0)
    assert watcher.changes[-1] == ("came", "ann")


def test_worker_of_another_host_that_dies_takes_its_members_along_and_its_replacement_is_watched(
    stage: HostsStage,
) -> None:
    here, there = stage.start("A"), stage.start("B", 2)
    stage.settle(1.0)
    watcher = here[0].connect("watcher", asks=True)
    there[0].connect("ann")
    there[1].connect("bob")
    stage.settle(1.0)
    there.end(0)
    stage.settle(1.0)
    assert watcher.changes[-1] == ("went", "ann")
    there.start(0)
    there[0].connect("cem")
    stage.settle(1.0)
    assert watcher.changes[-1] == ("came", "cem")
    assert rooms_as_told(watcher).keys() == {"watcher", "bob", "cem"}


def test_host_that_joins_later_is_watched(stage: HostsStage) -> None:
    here = stage.start("A")
    watcher = here[0].connect("watcher", asks=True)
    stage.settle(1.0)
    there = stage.start("B")
    there[0].connect("ann")
    late = there[0].connect("late", asks=True)
    stage.settle(1.0)
    assert sorted(watcher.changes) == [("came", "ann"), ("came", "late")]
    assert rooms_as_told(late) == rooms_as_told(watcher)


def test_what_happened_while_no_host_reached_another_is_told_when_they_do(stage: HostsStage) -> None:
    here, there = stage.start("A"), stage.start("B")
    stage.settle(1.0)
    watcher = here[0].connect("watcher", asks=True)
    for name in ("ann", "bob", "cem"):
        there[0].connect(name)
    stage.settle(1.0)
    told = len(watcher.changes)
    stage.is_away = True
    there[0].end("ann")
    there[0].suspend("bob")
    there[0].connect("dan")
    stage.settle(20.0)
    assert len(watcher.changes) == told
    stage.is_away = False
    stage.settle(8.0)
    assert sorted(watcher.changes[told:]) == [("came", "dan"), ("dropped", "bob"), ("went", "ann")]


def test_host_that_only_one_side_had_given_up_is_watched_again(stage: HostsStage) -> None:
    here, there = stage.start("A"), stage.start("B")
    stage.settle(1.0)
    watcher = here[0].connect("watcher", asks=True)
    there[0].connect("ann")
    stage.settle(1.0)
    # B's processes know nothing of it: nobody there takes A for gone.
    there.far[0].living([(there.tag, "B")], [])
    stage.settle(1.0)
    assert not there[0].presence._rooms
    stage.tell_living()
    stage.settle(2.0)
    there[0].connect("bob")
    stage.settle(1.0)
    assert watcher.changes[-1] == ("came", "bob")


def test_process_that_is_stopped_keeps_no_other_from_hearing(stage: HostsStage) -> None:
    here, there = stage.start("A", 2), stage.start("B")
    stage.settle(1.0)
    watcher = here[0].connect("watcher", asks=True)
    stage.settle(1.0)
    here.far.pop(1)  # it answers nothing
    for number in range(5):
        there[0].connect(f"m{number}")
        stage.settle(1.0)
    assert [name for _, name in watcher.changes] == [f"m{number}" for number in range(5)]
    here.streams.end(1)
    stage.tell_living()


def test_process_that_is_not_known_to_be_alive_is_not_heard(stage: HostsStage) -> None:
    here, there = stage.start("A"), stage.start("B")
    stage.settle(1.0)
    here.far[0].living([(here.tag, "A")], [])
    watcher = there[0].connect("watcher", asks=True)
    stage.settle(3.0)
    assert not here[0].presence._rooms
    assert rooms_as_told(watcher).keys() == {"watcher"}
    here[0].connect("ann")
    stage.tell_living()
    stage.settle(2.0)
    assert rooms_as_told(watcher).keys() == {"watcher", "ann"}


@pytest.mark.race
def test_members_that_walk_from_host_to_host_neither_go_nor_come(draw: Random, race_rounds: int) -> None:
    for _ in range(race_rounds):
        with hosts_stage(draw, (0.001, 0.2)) as stage:
            processes = [host[seat] for host in (stage.start(name, 2) for name in "ABC") for seat in (0, 1)]
            stage.settle(2.0)
            where = {name: draw.choice(processes) for name in ("ann", "bob", "cem")}
            for name, process in where.items():
                process.connect(name)
            watchers = [process.connect(f"w{number}", asks=True) for number, process in enumerate(processes[::2])]
            stage.settle(3.0)
            seen = [len(watcher.changes) for watcher in watchers]
            under_way: dict[str, StagedMember] = {}
            for _ in range(40):
                name = draw.choice(sorted(where))
                if name in under_way:
                    where[name].arrive(under_way.pop(name))
                else:
                    source, where[name] = where[name], draw.choice(processes)
                    if source is not where[name]:
                        under_way[name] = source.depart(name)
                stage.settle(draw.choice((0.0, 0.05, 0.1)))
            for name, member in under_way.items():
                where[name].arrive(member)
            stage.settle(6.0)
            for watcher, told in zip(watchers, seen, strict=True):
                assert {what for what, _ in watcher.changes[told:]} <= {"moved"}
                room = rooms_as_told(watcher)
                for name, process in where.items():
                    assert room[name] == (process.cluster.host, process.shard.index, "connected")


class _World:
    """Members that come, go, drop, resume and walk on hosts that come and go."""

    def __init__(self, stage: HostsStage, draw: Random) -> None:
        self.stage = stage
        self.draw = draw
        self.names = iter(range(10_000))
        for name in "ABC":
            stage.start(name, 2)

    def host(self) -> StagedHost:
        return self.draw.choice(list(self.stage.hosts.values()))

    def step(self) -> None:
        stage, draw = self.stage, self.draw
        host = self.host()
        process = host[draw.choice(list(host.streams.processes))]
        members = process.shard.sessions
        match draw.randrange(14):
            case 0:
                stage.is_away = not stage.is_away
            case 1:
                stage.tell_living(without=draw.choice(("", host.name)))
            case 2:
                stage.loss = draw.choice((0.0, 0.0, 0.2, 0.5))
            case 3:
                host.end(process.shard.seat)
                host.start(process.shard.seat)
            case 4 if draw.random() < 0.3:
                stage.kill(host.name)
                stage.start(host.name, 2)
            case 5 | 6 if members:
                self._walk(process.depart(draw.choice(sorted(members))))
            case 7 | 8 if members:
                name = draw.choice(sorted(members))
                process.suspend(name)
            case 9 | 10 if members:
                process.end(draw.choice(sorted(members)))
            case _:
                process.connect(f"m{next(self.names)}", asks=draw.random() < 0.4)

    def _walk(self, member: StagedMember) -> None:
        self.stage.settle(self.draw.choice((0.0, 0.0, 0.1)))
        host = self.host()
        host[self.draw.choice(list(host.streams.processes))].arrive(member)


@pytest.mark.race
def test_all_watchers_know_in_the_end_who_is_there_whatever_was_lost(draw: Random, race_rounds: int) -> None:
    for _ in range(2 * race_rounds):
        with hosts_stage(draw, (0.001, draw.choice((0.01, 0.3)))) as stage:
            world = _World(stage, draw)
            for _ in range(60):
                world.step()
                stage.settle(draw.choice((0.0, 0.0, 0.05, 0.2, 1.0)))
            stage.loss, stage.is_away = 0.0, False
            stage.tell_living()
            stage.settle(15.0)
            truth: dict[str, tuple[str, int, str]] = {}
            watchers = []
            for host in stage.hosts.values():
                for process in host.streams.processes.values():
                    for name, member in process.shard.sessions.items():
                        truth[name] = (host.name, process.shard.index, member.state.name.lower())
                        if member.asks and member.state.name == "CONNECTED":
                            watchers.append(member)
            for watcher in watchers:
                assert rooms_as_told(watcher) == truth, watcher.id
