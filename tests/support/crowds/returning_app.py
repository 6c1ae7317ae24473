"""The server's side of `scripts/returning-crowd`: it notes when it lets clients in, and what processor time its worker has taken.

It is what `--app` of that server is; its notes are files in its folder, one for each worker.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from wspulse import Request, Server

__all__ = ["server"]

_notes = Path(f"arrivals-{os.getpid()}").open("a", buffering=1)  # noqa: SIM115 (for as long as the worker lives)


def _connect(request: Request) -> tuple[str, str]:
    print(time.monotonic(), time.process_time(), file=_notes)
    return "lobby", request.query["id"]


server = Server(_connect, resume_window=30, ping_period=60, pong_wait=120)
