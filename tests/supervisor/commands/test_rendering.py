"""What the subcommands print."""

from __future__ import annotations

from wspulse.supervisor.commands.rendering import stats_text
from wspulse.supervisor.protocol.types import ServerStats, Totals


def summary(totals: Totals) -> str:
    stats = ServerStats(version="1", pid=1, uptime_s=5.0, rss_bytes=None, totals=totals, workers=[])
    return stats_text(stats).splitlines()[1]


def test_stats_tell_of_links_between_workers_only_when_some_are_down() -> None:
    assert "links" not in summary(Totals())
    assert summary(Totals(links_down=2)).endswith(", 2 links between workers down")


def test_stats_tell_what_the_server_lacks_only_when_it_lacks_something() -> None:
    stats = ServerStats(version="1", pid=1, uptime_s=5.0, rss_bytes=None, totals=Totals(), workers=[])
    assert "well" not in stats_text(stats)
    stats = ServerStats(
        version="1", pid=1, uptime_s=5.0, rss_bytes=None, totals=Totals(), workers=[], unwell=["one", "two"]
    )
    assert stats_text(stats).splitlines()[1] == "the server is not well: one; two"
