"""What a process does at this moment, as the operating system sees it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["process_state"]

_NAMES = {
    "R": "running",
    "S": "waiting",
    "D": "waiting for the disk",
    "T": "stopped",
    "t": "stopped by a debugger",
    "Z": "ended",
}


def process_state(pid: int) -> str:
    """In a word or two, for people; "unknown" where it can't be told: the process is gone, or there is no /proc."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return "unknown"
    # The name stands before it in parentheses, and may hold anything.
    return _NAMES.get(status.rpartition(") ")[2][:1], "unknown")
