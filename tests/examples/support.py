"""What the tests of the examples share."""

from __future__ import annotations

from pathlib import Path

import psutil

__all__ = ["EXAMPLES", "worker_pids"]

EXAMPLES = Path(__file__).parents[2] / "examples"


def worker_pids(supervisor: int | None) -> list[int]:
    """The workers' pids, in the order of their shards; known by their process titles."""
    titles = {" ".join(child.cmdline()).rstrip(" \0"): child.pid for child in psutil.Process(supervisor).children()}
    return [pid for title, pid in sorted(titles.items()) if title.startswith("wspulse: worker ")]
