"""The entry of the process that serves the admin address: what runs from its first line to its exit.

Started by `AdminService` with multiprocessing's spawn. It ends by SIGTERM, and at once when the supervisor is gone: whoever
starts the next server may want the address.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading

from wspulse.supervisor.admin.spec import AdminSpec
from wspulse.supervisor.process.companions.entry import begin, run_to_exit
from wspulse.supervisor.worker.stray_signals import PASSED_OVER

__all__ = ["main"]

_logger = logging.getLogger("wspulse.supervisor")


def main(spec: AdminSpec) -> None:
    """Serve until the end; ends by SystemExit with the exit code."""
    begin("admin", spec.log_level, spec.log_format)
    threading.Thread(target=_end_with_supervisor, name="wspulse parent watch", daemon=True).start()
    # They were blocked across the start.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_OVER | {signal.SIGTERM})
    # The supervisor, which names this module at each start, needs none of that.
    from wspulse.supervisor.admin.site.serving import serve

    run_to_exit(serve(spec), _logger)


def _end_with_supervisor() -> None:
    supervisor = multiprocessing.parent_process()
    assert supervisor is not None
    supervisor.join()
    os._exit(0)
