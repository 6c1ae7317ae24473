"""What the subcommands print."""

from __future__ import annotations

from wspulse.supervisor.commands.rendering import stats_text
from wspulse.supervisor.protocol.types import ServerStats, Totals, WorkerStats


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
    assert stats_text(stats).splitlines()[2:4] == ["worker 1 is not well: a folder is gone; the bus stands still", ""]


def test_stats_tell_what_the_server_lacks_only_when_it_lacks_something() -> None:
    stats = ServerStats(version="1", pid=1, uptime_s=5.0, rss_bytes=None, totals=Totals(), workers=[])
    assert "well" not in stats_text(stats)
    stats = ServerStats(
        version="1", pid=1, uptime_s=5.0, rss_bytes=None, totals=Totals(), workers=[], unwell=["one", "two"]
    )
    assert stats_text(stats).splitlines()[1] == "the server is not well: one; two"
