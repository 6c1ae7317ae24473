"""The programs in C: built with cc when their source is newer, into build/bench."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

__all__ = ["BUILD", "ROOT", "native"]

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "bench"


def native(name: str) -> Path:
    """The path of `bench/native/<name>.c` as a program. SystemExit saying what is missing where there is no C compiler."""
    source, program = ROOT / "bench" / "native" / f"{name}.c", BUILD / name
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        compiler = shutil.which("cc")
        if compiler is None:
            raise SystemExit("the bench needs a C compiler, `cc`: its load generator is written in C")
        BUILD.mkdir(parents=True, exist_ok=True)
        subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-o", program, source], check=True)
    return program
