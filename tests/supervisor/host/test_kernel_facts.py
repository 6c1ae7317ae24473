from __future__ import annotations

from pathlib import Path

import pytest

from wspulse.supervisor.host.kernel_facts import fact_number, fact_numbers, fact_text, group_folders


@pytest.mark.parametrize(
    ("text", "numbers", "number"),
    [("7\n", [7], 7), ("1\t2 3", [1, 2, 3], None), ("max\n", [], None), ("", [], None), (None, [], None)],
)
def test_fact_of_another_form_is_empty(
    tmp_path: Path, text: str | None, numbers: list[int], number: int | None
) -> None:
    path = tmp_path / "fact"
    if text is not None:
        path.write_text(text)
    assert fact_text(path) == (text or "")
    assert fact_numbers(path) == numbers
    assert fact_number(path) == number


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (None, [""]),
        ("0::/\n", [""]),
        ("0::/user.slice/a\n", ["user.slice/a", ""]),
        ("12:cpu:/x\n0::/a\n", ["a", ""]),
        ("12:cpu:/x\n", [""]),
    ],
    ids=["untold", "root", "own", "both versions", "version 1"],
)
def test_limits_stand_in_the_own_group_and_in_the_mount(tmp_path: Path, told: str | None, expected: list[str]) -> None:
    if told is not None:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(told)
    assert group_folders(tmp_path) == [tmp_path / "sys/fs/cgroup" / folder for folder in expected]
