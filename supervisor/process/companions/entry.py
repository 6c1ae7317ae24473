"""How a companion's process begins and ends: what its entry runs before its own work, and around it.

Called by the entries of `admin` and `tls`, each in a process of its own. It knows nothing of what they serve.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn

from wspulse.supervisor.host.process_title import set_process_title
from wspulse.supervisor.logs.configuration import configure_logs
from wspulse.supervisor.worker.stray_signals import pass_over_signals

__all__ = ["begin", "run_to_exit"]


def begin(role: str, log_level: str, log_format: str) -> None:
    """The first lines of the process, which the process list and the log call by its `role`."""
    pass_over_signals()
    os.dup2(2, 1)  # the supervisor's ready line is the only one on stdout
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    set_process_title(role)
    configure_logs(log_level, log_format, role)


def run_to_exit(work: Coroutine[Any, Any, None], logger: logging.Logger) -> NoReturn:
    """Run `work` to its end in an event loop. Ends by SystemExit with the exit code: 0, or 1 when it failed, which is logged."""
    # The supervisor imports the entries for each start, and needs no uvloop.
    import uvloop

    code = 0
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work)
    except Exception:
        # Multiprocessing would print it, and wait for somebody to read it.
        logger.critical("this process failed", exc_info=True)
        code = 1
    sys.exit(code)
