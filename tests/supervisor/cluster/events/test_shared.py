"""What a host wants of the events of others, and gives them of its own."""

from __future__ import annotations

from wspulse.actors.mesh.lifecycle import Events
from wspulse.actors.mesh.message import Message
from wspulse.supervisor.cluster.events.shared import MOST_PREFIXES_BYTES, SharedEvents


class Host:
    def __init__(self) -> None:
        self.described: list[tuple[bytes, ...]] = []
        self.told: list[Message] = []
        self.changes = 0
        self.shared = SharedEvents(lambda: self.described.append(self.shared.wanted_here), self.told.append)
        self.shared.changed = self._changed

    def _changed(self) -> None:
        self.changes += 1


def test_others_are_told_what_is_wanted_when_that_changes() -> None:
    host = Host()
    for prefixes in ([b"connect."], [b"connect."], []):
        host.shared.want(prefixes)
    assert host.described == [(b"connect.",), ()]


def test_more_prefixes_than_a_key_should_bear_are_everything() -> None:
    host = Host()
    host.shared.want([b"x" * (MOST_PREFIXES_BYTES + 1)])
    assert host.shared.wanted_here == (b"",)


def test_nothing_is_given_that_no_other_host_wants() -> None:
    host = Host()
    host.shared.give([(b"connect.tea", b"1")], 5)
    assert host.told == []
    host.shared.heed([(b"connect.",), (), (b"worker.", b"connect.")])
    host.shared.heed([(b"worker.", b"connect.")])
    assert host.changes == 1
    host.shared.give([(b"connect.tea", b"1"), (b"drop.tea", b"2"), (b"worker.died", b"3")])
    host.shared.give([(b"drop.tea", b"4")])
    host.shared.give([(b"drop.tea", b"5")], 2)
    assert host.told == [Events([(b"connect.tea", b"1"), (b"worker.died", b"3")], 0), Events([], 2)]
