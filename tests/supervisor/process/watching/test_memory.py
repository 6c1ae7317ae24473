"""Whether the workers hold too much memory, and who is told of it when."""

from __future__ import annotations

import logging

import pytest

from wspulse.actors.values.health import MEMORY_IS_SHORT
from wspulse.supervisor.process.watching import memory
from wspulse.supervisor.process.watching.memory import MemoryMark, MemoryNews, MemoryWatch

ABOVE, FAR_ABOVE, BACK = MemoryNews.ABOVE, MemoryNews.FAR_ABOVE, MemoryNews.BACK


def test_mark_is_news_when_it_is_passed_and_when_there_is_room_again() -> None:
    mark = MemoryMark(1000)
    seen = [
        mark.look(used) for used in (500, 1000, 1001, 1100, 1101, 1300, 1000, 950, 949, 1000, 1001, 900, 1200, 1200)
    ]
    assert seen == [None, None, ABOVE, None, FAR_ABOVE, None, None, None, BACK, None, ABOVE, BACK, ABOVE, FAR_ABOVE]


def test_workers_are_told_and_so_is_the_operator(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    held: dict[int, int | None] = {1: 400, 2: 500, 3: None}
    told: list[tuple[str, bool]] = []
    monkeypatch.setattr(memory, "resident_bytes", held.get)
    watch = MemoryWatch(1000, lambda: held, lambda reason, is_so: told.append((reason, is_so)))
    caplog.set_level(logging.INFO)
    watch.look()
    assert told == []
    held[3] = 150
    watch.look()
    assert told == [(MEMORY_IS_SHORT, True)]
    held[1] = 900
    watch.look()
    watch.look()
    held[1] = 100
    watch.look()
    assert told == [(MEMORY_IS_SHORT, True), (MEMORY_IS_SHORT, False)]
    assert [(record.levelname, record.__dict__["rss_bytes"]) for record in caplog.records] == [
        ("WARNING", 1050),
        ("ERROR", 1550),
        ("INFO", 750),
    ]


async def test_without_a_mark_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "LOOK_S", 0.0)
    watch = MemoryWatch(0, lambda: pytest.fail("it looks"), lambda *_: None)
    watch.start()
    assert watch._timer is None
    watch.stop()
