"""What the subcommands print."""

from __future__ import annotations

import time
from typing import Any

from wspulse.supervisor.commands.rendering import (
    connections_text,
    event_json,
    event_line,
    hosts_text,
    json_text,
    moved_text,
    presence_text,
    stats_text,
)
from wspulse.supervisor.protocol.types import (
    ClusterHost,
    ConnectionInfo,
    Event,
    MemberInfo,
    MovedInfo,
    ScaledInfo,
    ServerStats,
    ShardMovedInfo,
    Totals,
    WorkerStats,
)


def summary(totals: Totals) -> str:
    stats = ServerStats(version="1", pid=1, uptime_s=5.0, rss_bytes=None, totals=totals, workers=[])
    return stats_text(stats).splitlines()[1]


def test_stats_tell_of_links_between_workers_only_when_some_are_down() -> None:
    assert "links" not in summary(Totals())
    assert summary(Totals(links_down=2)).endswith(", 2 links between workers down")


def test_stats_say_for_how_long_a_worker_is_silent() -> None:
    workers = [
        WorkerStats(shard=0, pid=10, state="ready"),
        WorkerStats(shard=1, pid=11, state="silent", silent_for_s=12.3),
    ]
    stats = ServerStats(version="1", pid=1, uptime_s=5.0, rss_bytes=None, totals=Totals(), workers=workers)
    rows = stats_text(stats).splitlines()[-2:]
    assert [" ready  " in row for row in rows] == [True, False]
    assert " silent 12 s " in rows[1]


def test_stats_say_what_is_amiss_with_a_worker() -> None:
    workers = [
        WorkerStats(shard=0, pid=10, state="ready"),
        WorkerStats(shard=1, pid=11, state="ready", unwell=["a folder is gone", "the bus stands still"]),
    ]
    stats = ServerStats(version="1", pid=1, uptime_s=5.0, rss_bytes=None, totals=Totals(), workers=workers)
    assert stats_text(stats).splitlines()[2:4] == ["worker 1 is unhealthy: a folder is gone; the bus stands still", ""]


def test_stats_tell_what_the_server_lacks_only_when_it_lacks_something() -> None:
    stats = ServerStats(version="1", pid=1, uptime_s=5.0, rss_bytes=None, totals=Totals(), workers=[])
    assert "well" not in stats_text(stats)
    stats = ServerStats(
        version="1", pid=1, uptime_s=5.0, rss_bytes=None, totals=Totals(), workers=[], unwell=["one", "two"]
    )
    assert stats_text(stats).splitlines()[1] == "the server is unhealthy: one; two"


def test_stats_say_how_many_sessions_have_yet_to_move() -> None:
    workers = [WorkerStats(shard=0, pid=10, state="moving", moving_left=42)]
    stats = ServerStats(version="1", pid=1, uptime_s=5.0, rss_bytes=None, totals=Totals(), workers=workers)
    assert " moving 42 " in stats_text(stats).splitlines()[-1]


def test_what_a_plan_came_to_is_a_table_and_json() -> None:
    figures: dict[str, Any] = {"moved": 1200, "drained": 3, "longest_pause_s": 0.0128}
    assert moved_text([MovedInfo(**figures)]).splitlines() == ["MOVED  CLOSED  LONGEST PAUSE", " 1200       3  12.8 ms"]
    reloaded = [ShardMovedInfo(shard=shard, **figures) for shard in range(2)]
    assert [line.split()[0] for line in moved_text(reloaded).splitlines()] == ["SHARD", "0", "1"]
    assert moved_text([ScaledInfo(workers=4, **figures)]).splitlines()[1].split()[:2] == ["4", "1200"]
    lost = ShardMovedInfo(shard=2, lost=5, **figures)
    assert [line.split()[-1] for line in moved_text([*reloaded, lost]).splitlines()] == ["LOST", "0", "0", "5"]
    assert json_text(reloaded[0]) == '{"moved":1200,"drained":3,"longest_pause_s":0.0128,"lost":0,"shard":0}'


def test_move_that_begins_and_one_that_is_over_are_told_apart() -> None:
    begun = Event(kind="worker.moving", seq=1, prev=0, time=0.0, shard=2, pid=9, is_over=False)
    over = Event(kind="worker.moving", seq=2, prev=1, time=0.0, shard=2, pid=9, is_over=True, moved=7, drained=1)
    assert event_line(begun).endswith("shard 2, pid 9")
    assert event_line(over).endswith("shard 2, pid 9  7 moved, 1 closed")
    assert '"is_over":false' in event_json(begun)


def test_shards_are_told_with_their_hosts_where_there_are_several() -> None:
    def connections(*hosts: str | None) -> str:
        found = [
            ConnectionInfo(id="ann", room="tea", shard=1, state="connected", connected_at=0.0, queued=0, host=host)
            for host in hosts
        ]
        return connections_text(found)

    def members(*hosts: str | None) -> str:
        found = [
            MemberInfo(id="ann", rooms=("tea",), state={}, suspended=False, since=0.0, shard=1, host=host)
            for host in hosts
        ]
        return presence_text(found)

    for text in (connections, members):
        assert "HOST" not in text(None)
        lines = text(None, "b:8000").splitlines()
        assert lines[0].split()[:4] == ["CONNECTION", "ROOMS", "HOST", "SHARD"]
        assert [line.split()[2:4] for line in lines[1:]] == [["this", "1"], ["b:8000", "1"]]


def test_hosts_show_what_matters_most_within_60_columns() -> None:
    found = ClusterHost(
        id="chat-1.example:8000",
        address="ws://10.0.0.5:8000/ws",
        workers=2,
        connections=3,
        since=time.time() - 3600,
        state="up",
    )
    head, row = hosts_text([found]).splitlines()
    assert head.split()[-1] == "ADDRESS"
    assert len(row) > 60 >= len(row.removesuffix(found.address).rstrip())
