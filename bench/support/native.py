"""The programs in C: built with cc when their source is newer, into build/bench."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

__all__ = ["BUILD", "ROOT", "native"]

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "bench"


def native(name: str) -> Path:
    """`bench/native/<name>.c`, with the files `<name>_*.c` beside it, as a program.

    SystemExit saying what is missing where there is no C compiler.
    """
    folder, program = ROOT / "bench" / "native", BUILD / name
    sources = [folder / f"{name}.c", *sorted(folder.glob(f"{name}_*.c"))]
    newest = max(path.stat().st_mtime for path in (*sources, *folder.glob(f"{name}.h")))
    if not program.exists() or program.stat().st_mtime < newest:
        compiler = shutil.which("cc")
        if compiler is None:
            raise SystemExit("the bench needs a C compiler, `cc`: its load generator is written in C")
        BUILD.mkdir(parents=True, exist_ok=True)
        subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-o", program, *sources], check=True)
    return program
