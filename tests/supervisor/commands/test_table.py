"""Tables for people."""

from __future__ import annotations

from wspulse.supervisor.commands.table import bytes_text, duration_text, table_lines


def test_columns_are_aligned_and_numbers_stand_right() -> None:
    assert table_lines(("NAME", "N"), [("a", 1), ("日本", 100), ("evil\x1b[2J", None)]) == [
        "NAME        N",
        "a           1",
        "日本      100",
        "evil�[2J    -",
    ]
    assert table_lines(("NAME", "N"), []) == ["NAME  N"]


def test_quantities_have_units() -> None:
    assert [bytes_text(size) for size in (None, 0, 999, 1500, 34_300_000, 2_100_000_000)] == [
        "-",
        "0 B",
        "999 B",
        "1.5 KB",
        "34.3 MB",
        "2.1 GB",
    ]
    assert [duration_text(seconds) for seconds in (0.4, 59, 61, 3600 * 5 + 180, 86400 * 2 + 3600 * 4)] == [
        "0 s",
        "59 s",
        "1 min 1 s",
        "5 h 3 min",
        "2 d 4 h",
    ]
