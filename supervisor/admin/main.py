"""The entry of the process that serves the admin address: what runs from its first line to its exit.

Started by `AdminService` with multiprocessing's spawn. It ends by SIGTERM, and at once when the supervisor is gone: whoever
starts the next server may want the address.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import sys
import threading

from wspulse.supervisor.admin.spec import AdminSpec
from wspulse.supervisor.host.process_title import set_process_title
from wspulse.supervisor.logs.configuration import configure_logs
from wspulse.supervisor.worker.stray_signals import PASSED_OVER, pass_over_signals

__all__ = ["main"]

_logger = logging.getLogger("wspulse.supervisor")


def main(spec: AdminSpec) -> None:
    """Serve until the end; ends by SystemExit with the exit code."""
    pass_over_signals()
    threading.Thread(target=_end_with_supervisor, name="wspulse parent watch", daemon=True).start()
    os.dup2(2, 1)  # the supervisor's ready line is the only one on stdout
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    set_process_title("admin")
    configure_logs(spec.log_level, spec.log_format, "admin")
    # They were blocked across the start.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_OVER | {signal.SIGTERM})
    # The supervisor, which names this module at each start, needs none of that.
    import uvloop

    from wspulse.supervisor.admin.site.serving import serve

    code = 0
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(spec))
    except Exception:
        # Multiprocessing would print it, and wait for somebody to read it.
        _logger.critical("the process of the admin address failed", exc_info=True)
        code = 1
    sys.exit(code)


def _end_with_supervisor() -> None:
    supervisor = multiprocessing.parent_process()
    assert supervisor is not None
    supervisor.join()
    os._exit(0)
