"""The control plane of one of several hosts: whose events its workers make, and where they go."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import msgspec

from wspulse.actors.mesh.lifecycle import Events, WatchEvents
from wspulse.actors.mesh.message import Message
from wspulse.supervisor.control.plane import ControlPlane
from wspulse.supervisor.process.child import Child
from wspulse.supervisor.settings.layers import resolve


class Elsewhere:
    """The events of other hosts."""

    wanted_elsewhere: tuple[bytes, ...] = (b"drop.",)

    def __init__(self) -> None:
        self.wanted: list[list[bytes]] = []
        self.given: list[tuple[list[tuple[bytes, bytes]], int]] = []

    def want(self, prefixes: list[bytes]) -> None:
        self.wanted.append(prefixes)

    def give(self, events: list[tuple[bytes, bytes]], dropped_events: int = 0) -> None:
        self.given.append((events, dropped_events))


class Publisher:
    prefixes: tuple[bytes, ...] = ()

    def __init__(self) -> None:
        self.published: list[bytes] = []
        self.skipped = 0

    def publish(self, topic: bytes, _event: bytes) -> None:
        self.published.append(topic)

    def publish_own(self, kind: str, fields: dict[str, Any]) -> tuple[bytes, bytes]:
        event = kind.encode(), msgspec.msgpack.encode(fields)
        self.publish(*event)
        return event

    def skip(self, events: int) -> None:
        self.skipped += events


class Stage:
    """A plane, its one worker, and what it is told."""

    def __init__(self) -> None:
        self.elsewhere = Elsewhere()
        self.told: list[Message] = []
        self.child = cast("Child", SimpleNamespace(shard=3, seat=3, pid=77, tell=self.told.append))
        others = SimpleNamespace(host="a:8000", events=self.elsewhere)
        supervised = SimpleNamespace(everybody=lambda: [self.child])
        self.plane = ControlPlane(resolve({}, {}), cast("Any", supervised), cast("Any", None), {}, cast("Any", others))
        self.publisher = Publisher()
        self.plane.events = cast("Any", self.publisher)


def test_workers_make_what_any_host_wants_and_others_are_told_what_is_wanted_here() -> None:
    stage = Stage()
    stage.plane.worker_started(stage.child)
    stage.plane._watch([b"connect."])
    assert stage.told == [WatchEvents([b"drop."]), WatchEvents([b"connect.", b"drop."])]
    assert stage.elsewhere.wanted == [[b"connect."]]


def test_events_of_workers_are_given_to_other_hosts_and_theirs_are_not() -> None:
    stage = Stage()
    ours, theirs = Events([(b"connect.tea", b"1")], 2), Events([(b"drop.tea", b"2")], 3)
    stage.plane.take_events(stage.child, ours)
    stage.plane._take(theirs)
    assert stage.publisher.published == [b"connect.tea", b"drop.tea"]
    assert stage.publisher.skipped == 5
    assert stage.elsewhere.given == [(ours.events, 2)]


def test_events_about_workers_bear_the_name_of_their_host() -> None:
    stage = Stage()
    stage.plane.worker_started(stage.child)
    (((topic, data),), _) = stage.elsewhere.given[0]
    assert topic == b"worker.started"
    assert msgspec.msgpack.decode(data) == {"shard": 3, "pid": 77, "host": "a:8000"}
