"""Results: one JSON file per question in bench/results, with the machine, the versions and the commit."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from bench.support.native import ROOT

__all__ = ["RESULTS", "circumstances", "read_all", "save"]

RESULTS = ROOT / "bench" / "results"

_PACKAGES = ("wspulse", "uvloop", "msgspec", "pyzmq", "websockets")


def save(name: str, result: dict[str, Any]) -> dict[str, Any]:
    whole = {"name": name, **circumstances(), **result}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(whole, indent=1, default=str) + "\n")
    return whole


def read_all() -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}


def circumstances() -> dict[str, Any]:
    """When and on what, of which commit."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short", "HEAD") + ("+" if _git("status", "--porcelain", "-uno") else ""),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
            "load_average": round(os.getloadavg()[0], 1),
        },
        "versions": versions,
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
