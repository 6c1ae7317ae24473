"""`start_masked`: starts a process of the server so that no signal ends it before it has said which it passes over.

Called by whoever makes a process: of a worker, of the admin address. The new process lifts the mask itself.
"""

from __future__ import annotations

import signal
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnProcess

from wspulse.supervisor.worker.stray_signals import PASSED_OVER

__all__ = ["start_masked"]


def start_masked(process: SpawnProcess) -> None:
    """Raises OSError when no process can be started."""
    # A new process inherits the mask. The first start begins with multiprocessing's resource tracker, which never lifts it,
    # so that no terminal ends that one.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_OVER)
    try:
        resource_tracker.ensure_running()
        # Starting that one has lifted it for these two.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
