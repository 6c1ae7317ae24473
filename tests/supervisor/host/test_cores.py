"""The default of `--workers`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wspulse.supervisor.host.cores import usable_cores


@pytest.fixture(autouse=True)
def sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(16)), raising=False)


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_control_groups_affinity_counts(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == 16


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("max 100000\n", 16),
        ("200000 100000\n", 2),
        ("250000 100000\n", 3),
        ("10000 100000\n", 1),
        ("9999999 100000", 16),
    ],
)
def test_quota_of_version_two_is_rounded_up(tmp_path: Path, text: str, cores: int) -> None:
    write(tmp_path, "sys/fs/cgroup/cpu.max", text)
    assert usable_cores(tmp_path) == cores


def test_quota_of_the_own_group_beats_that_of_the_root(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "0::/system.slice/chat.service\n")
    write(tmp_path, "sys/fs/cgroup/cpu.max", "800000 100000\n")
    write(tmp_path, "sys/fs/cgroup/system.slice/chat.service/cpu.max", "300000 100000\n")
    assert usable_cores(tmp_path) == 3


@pytest.mark.parametrize(("quota", "cores"), [("-1", 16), ("400000", 4), ("rubbish", 16)])
def test_quota_of_version_one_is_read(tmp_path: Path, quota: str, cores: int) -> None:
    write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota)
    write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000")
    assert usable_cores(tmp_path) == cores
