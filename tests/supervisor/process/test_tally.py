"""What was counted over the lives of a shard's workers never falls."""

from __future__ import annotations

from wspulse.supervisor.process.tally import Tally


def test_what_the_latest_worker_tells_is_added_to_what_the_earlier_ones_had_told_last() -> None:
    tally = Tally()
    assert tally.total == {}
    tally.heard(4, {"frames_in": 10, "upgrades": 1})
    tally.heard(4, {"frames_in": 30, "upgrades": 1})
    assert tally.total == {"frames_in": 30, "upgrades": 1}
    tally.heard(7, {"frames_in": 0})
    assert tally.total == {"frames_in": 30, "upgrades": 1}
    tally.heard(7, {"frames_in": 5, "bus_gaps": 2})
    tally.heard(9, {"frames_in": 100})
    assert tally.total == {"frames_in": 135, "upgrades": 1, "bus_gaps": 2}


def test_word_that_is_overtaken_changes_nothing() -> None:
    tally = Tally()
    tally.heard(4, {"frames_in": 30})
    tally.heard(4, {"frames_in": 10})
    assert tally.total == {"frames_in": 30}


def test_last_words_of_a_worker_count_although_its_replacement_was_heard() -> None:
    tally = Tally()
    tally.heard(4, {"frames_in": 30})
    tally.heard(5, {"frames_in": 1})
    tally.heard(4, {"frames_in": 40})
    assert tally.total == {"frames_in": 41}
    tally.heard(6, {"frames_in": 2})
    tally.heard(7, {"frames_in": 3})
    tally.heard(4, {"frames_in": 50})
    assert tally.total == {"frames_in": 56}, "two may have served beside each other, and each been replaced"
    tally.heard(8, {"frames_in": 4})
    tally.heard(4, {"frames_in": 99})
    assert tally.total == {"frames_in": 60}, "of a worker long before the last one nothing is heard any more"


def test_counts_by_kind_are_kept_by_kind() -> None:
    tally = Tally()
    tally.heard(4, {"refused": {"401": 3}})
    tally.heard(5, {"refused": {"401": 1, "503": 2}})
    assert tally.total == {"refused": {"401": 4, "503": 2}}


def test_of_one_worker_alone_what_it_told_last_is_known() -> None:
    tally = Tally()
    tally.heard(4, {"frames_in": 30})
    tally.heard(5, {"frames_in": 1})
    assert (tally.of(5), tally.of(4), tally.of(6)) == ({"frames_in": 1}, {"frames_in": 30}, {})
