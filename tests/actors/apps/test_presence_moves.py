"""Presence while sessions move: who moves neither goes nor comes, and a watcher that moves goes on being told."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from tests.actors.apps.presence_stage import StagedMember, Streams
from tests.support.simulation.loop import SimLoop

A, B, C, D = 0, 1, 2, 3
"""Seats; the worker of C is another one, and that of B a replacement of A's."""


@pytest.fixture
def streams() -> Iterator[Streams]:
    with SimLoop(1) as loop:  # type: ignore[abstract]
        streams = Streams(loop)
        yield streams
        for process in streams.processes.values():
            process.presence.close()
        loop.pass_time(60.0)
        assert loop.reports == []
        assert loop.next_timer() == float("inf")


@pytest.mark.parametrize("arrival_is_read", ["first", "last"])
def test_member_that_moves_neither_goes_nor_comes_for_watchers_elsewhere(
    streams: Streams, arrival_is_read: str
) -> None:
    source, watching = streams.start(A, 0), streams.start(C, 1)
    watcher = watching.connect("watcher", asks=True)
    source.connect("ann")
    streams.settle()
    target = streams.start(B, 0)
    streams.settle()
    target.arrive(source.depart("ann"))
    streams.loop.pass_time(0.1)
    assert sorted(streams.busy) == [(A, C), (B, C)]
    for way in ((B, C), (A, C)) if arrival_is_read == "first" else ((A, C), (B, C)):
        streams.bring_one(way)
        streams.loop.pass_time(0.1)
    streams.end(A)
    streams.settle(10.0)
    assert watcher.listed is not None
    assert watcher.changes == []
    target.suspend("ann")
    streams.settle()
    assert watcher.changes == [("dropped", "ann")]
    streams.end(B)
    streams.settle()
    assert watcher.changes == [("dropped", "ann"), ("went", "ann")]


def test_member_that_moves_neither_goes_nor_comes_for_watchers_in_source_and_target(streams: Streams) -> None:
    source, target = streams.start(A, 0), streams.start(B, 0)
    watchers = [source.connect("one", asks=True), target.connect("two", asks=True)]
    source.connect("ann")
    streams.settle()
    for watcher in watchers:
        watcher.frames.clear()
    target.arrive(source.depart("ann"))
    streams.settle(10.0)
    assert [watcher.frames for watcher in watchers] == [[], []]


def test_snapshot_that_is_older_than_the_arrival_and_read_later_changes_nothing(streams: Streams) -> None:
    source, target, watching = streams.start(A, 0), streams.start(B, 0), streams.start(C, 1)
    source.connect("ann")
    watcher = watching.connect("watcher", asks=True)
    streams.loop.run_until_idle()
    for way in ((C, A), (C, B)):
        streams.bring_one(way)
    target.arrive(source.depart("ann"))
    streams.loop.pass_time(0.1)
    for way in ((B, C), (B, C), (A, C), (A, C)):  # of each the snapshot, and then what has changed
        streams.bring_one(way)
        streams.loop.pass_time(0.1)
    streams.settle(10.0)
    assert watcher.listed is not None
    assert watcher.changes == [("came", "ann")], "it was not in the first list"


def test_member_that_arrives_nowhere_has_gone(streams: Streams) -> None:
    source, watching = streams.start(A, 0), streams.start(C, 1)
    watcher = watching.connect("watcher", asks=True)
    source.connect("ann")
    streams.settle()
    source.depart("ann")
    streams.settle(2.0)
    assert watcher.changes == []
    streams.settle(4.0)
    assert watcher.changes == [("went", "ann")]


def test_worker_that_is_shown_is_the_one_where_a_member_lives(streams: Streams) -> None:
    source, watching = streams.start(A, 0), streams.start(C, 1)
    watcher = watching.connect("watcher", asks=True)
    source.connect("ann")
    streams.settle()
    away = streams.start(D, 7)
    streams.settle()
    away.arrive(source.depart("ann"))
    streams.settle()
    (moved,) = [
        change
        for event, payload in watcher.frames
        if event == "presence.changes"
        for change in payload["changes"]
        if change["what"] == "moved"
    ]
    assert moved == {"what": "moved", "id": "ann", "worker": 7, "state": "connected"}


def test_watcher_that_moves_is_told_the_whole_list_once_and_goes_on_being_told(streams: Streams) -> None:
    source, elsewhere = streams.start(A, 0), streams.start(C, 1)
    left = source.connect("watcher", asks=True)
    source.connect("ann")
    elsewhere.connect("bob")
    streams.settle()
    target = streams.start(B, 0)
    streams.settle()
    watcher = target.arrive(source.depart("watcher"))
    streams.loop.pass_time(0.4)
    assert watcher.frames == [], "the other workers have not said whom they have"
    target.arrive(source.depart("ann"))
    streams.settle()
    assert [event for event, _ in watcher.frames] == ["presence.room"]
    assert watcher.listed == {"watcher": (0, "connected"), "ann": (0, "connected"), "bob": (1, "connected")}
    assert left.changes == []
    elsewhere.end("bob")
    streams.settle()
    assert watcher.changes == [("went", "bob")]
    streams.end(A)
    streams.settle(10.0)
    assert watcher.changes == [("went", "bob")]


def test_watcher_that_has_moved_waits_a_second_for_a_silent_worker(streams: Streams) -> None:
    source, target = streams.start(A, 0), streams.start(B, 0)
    streams.start(C, 1)
    left = source.connect("watcher", asks=True)
    streams.settle()
    watcher = target.arrive(source.depart(left.id))
    streams.loop.pass_time(0.9)
    assert watcher.frames == []
    streams.loop.pass_time(0.3)
    assert watcher.listed == {"watcher": (0, "connected")}
    streams.settle()


def test_watcher_whose_move_failed_is_told_nothing(streams: Streams) -> None:
    source = streams.start(A, 0)
    watcher = source.connect("watcher", asks=True)
    streams.settle()
    told = len(watcher.frames)
    source.presence.arrived(watcher.connection)
    streams.settle()
    assert len(watcher.frames) == told


def test_suspended_watcher_that_moves_is_told_when_it_resumes(streams: Streams) -> None:
    source, target = streams.start(A, 0), streams.start(B, 0)
    source.connect("watcher", asks=True)
    source.suspend("watcher")
    streams.settle()
    watcher = target.arrive(source.depart("watcher"))
    streams.settle()
    assert watcher.frames == []
    target.presence.resumed(watcher.connection)
    streams.settle()
    assert [event for event, _ in watcher.frames] == ["presence.you", "presence.room"]


@pytest.mark.race
def test_members_that_move_about_neither_go_nor_come_in_any_order_of_streams(draw: Random, streams: Streams) -> None:
    processes = [streams.start(seat, seat) for seat in (A, B, C, D)]
    home = draw.choice(processes)
    watcher = home.connect("watcher", asks=True)
    where = {name: draw.choice(processes) for name in ("ann", "bob", "cem")}
    for name, process in where.items():
        process.connect(name)
    streams.settle()
    watcher.frames.clear()
    under_way: dict[str, StagedMember] = {}
    for _ in range(40):
        name = draw.choice(sorted(where))
        if name in under_way:
            where[name].arrive(under_way.pop(name))
        else:
            source, where[name] = where[name], draw.choice(processes)
            if source is not where[name]:
                under_way[name] = source.depart(name)
        streams.bring_some(draw)
        streams.loop.pass_time(draw.choice((0.0, 0.0, 0.01, 0.06)))
    for name, member in under_way.items():
        where[name].arrive(member)
    streams.settle(10.0)
    assert {what for what, _ in watcher.changes} <= {"moved"}
    mirror = home.presence._rooms["tea"]
    assert {name: mirror.place_of(name)["worker"] for name in where} == {
        name: process.shard.index for name, process in where.items()
    }
