"""What the kernel tells in files: texts, numbers, and the folders of this process's control group.

Read by `cores` and `machine`. A fact that is not there, or has another form, is empty: what that means they know.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["CGROUP_MOUNT", "fact_number", "fact_numbers", "fact_text", "group_folders"]

CGROUP_MOUNT = "sys/fs/cgroup"


def fact_text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def fact_numbers(path: Path) -> list[int]:
    try:
        return [int(word) for word in fact_text(path).split()]
    except ValueError:  # "max"
        return []


def fact_number(path: Path) -> int | None:
    numbers = fact_numbers(path)
    return numbers[0] if len(numbers) == 1 else None


def group_folders(root: Path) -> list[Path]:
    """Where limits of version 2 stand for this process: in its own group's folder, then in the mount, which in a container
    is the group itself."""
    groups = [
        line.removeprefix("0::").strip("/")
        for line in fact_text(root / "proc/self/cgroup").splitlines()
        if line.startswith("0::")
    ]
    return [root / CGROUP_MOUNT / group for group in dict.fromkeys([*groups, ""])]
