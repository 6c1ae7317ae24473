"""How many cores this process may use: the default of `--workers`."""

from __future__ import annotations

import math
import os
from pathlib import Path

from wspulse.supervisor.host.kernel_facts import CGROUP_MOUNT, fact_text, group_folders

__all__ = ["usable_cores"]


def usable_cores(root: Path = Path("/")) -> int:
    """The cores that affinity and the control group's CPU quota leave to this process, at least 1.

    A container with a quota of 2 CPUs on a machine of 64 sees 64 cores and would be throttled by 64 busy workers.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        cores = os.cpu_count() or 1
    quota = _cgroup_quota(root)
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def _cgroup_quota(root: Path) -> float | None:
    """CPUs per second of time; None where there is no limit, or none that can be read."""
    for folder in group_folders(root):
        # Version 2: "max 100000" or "150000 100000".
        words = fact_text(folder / "cpu.max").split()
        if len(words) == 2:
            return _ratio(words[0], words[1])
    mount = root / CGROUP_MOUNT
    return _ratio(fact_text(mount / "cpu/cpu.cfs_quota_us"), fact_text(mount / "cpu/cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float | None:
    try:
        ratio = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return ratio if ratio > 0 else None  # -1 is version 1's "no limit"
