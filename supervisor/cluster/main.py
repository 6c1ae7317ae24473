"""The entry of a gateway's process: what runs from its first line to its exit.

Started by `ClusterService` with multiprocessing's spawn. It ends by order of the supervisor, when the workers have ended, and
with the supervisor. SIGTERM is passed over like other signals: whoever sends it to all processes of a server means the
supervisor.
"""

from __future__ import annotations

import logging
import signal
import socket
from contextlib import suppress
from pathlib import Path

from wspulse.supervisor.cluster.spec import GatewaySpec
from wspulse.supervisor.host.descriptor_limit import raise_descriptor_limit
from wspulse.supervisor.premises.orphans import mark
from wspulse.supervisor.process.companions.entry import begin, run_to_exit
from wspulse.supervisor.worker.stray_signals import PASSED_OVER, tell_stray

__all__ = ["main"]

_logger = logging.getLogger("wspulse.cluster")


def main(spec: GatewaySpec) -> None:
    """Serve until the end; ends by SystemExit with the exit code."""
    begin("gateway", spec.log_level, spec.log_format)
    signal.signal(signal.SIGTERM, lambda number, _frame: tell_stray(number))
    raise_descriptor_limit()
    # If it is stopped, and the supervisor killed, whoever starts the next server on the port can tell whose it is.
    marked: socket.socket | None = None
    with suppress(OSError):
        marked = mark(Path(spec.push_path).parent, "gateway")
    try:
        run_to_exit(_run(spec), _logger)
    finally:
        if marked is not None:
            marked.close()


async def _run(spec: GatewaySpec) -> None:
    # The supervisor, which names this module at each start, needs none of that.
    from wspulse.supervisor.cluster.gateway import Gateway

    gateway = Gateway(spec)
    # They were blocked across the start.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_OVER | {signal.SIGTERM})
    await gateway.run()
