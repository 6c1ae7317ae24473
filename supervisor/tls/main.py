"""The entry of a terminator's process: what runs from its first line to its exit.

Started by `TlsService` with multiprocessing's spawn. It ends by order of the supervisor when its last client is gone, and some
seconds after the supervisor, whose workers say goodbye to their clients meanwhile. SIGTERM is passed over like other signals:
whoever sends it to all processes of a server means the supervisor, and the workers have yet to say goodbye.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys

from wspulse.supervisor.host.descriptor_limit import raise_descriptor_limit
from wspulse.supervisor.host.process_title import set_process_title
from wspulse.supervisor.logs.configuration import configure_logs
from wspulse.supervisor.tls.spec import TerminatorSpec
from wspulse.supervisor.worker.stray_signals import PASSED_OVER, pass_over_signals, tell_stray

__all__ = ["main"]

_logger = logging.getLogger("wspulse.tls")


def main(spec: TerminatorSpec) -> None:
    """Serve until the end; ends by SystemExit with the exit code."""
    pass_over_signals()
    signal.signal(signal.SIGTERM, lambda number, _frame: tell_stray(number))
    os.dup2(2, 1)  # the supervisor's ready line is the only one on stdout
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    set_process_title(f"tls {spec.number}")
    configure_logs(spec.log_level, spec.log_format, f"tls {spec.number}")
    raise_descriptor_limit()
    # Each client has few objects, and none in a circle that stays: nobody is to look for those of all of them.
    gc.freeze()
    # The supervisor, which names this module at each start, needs none of that.
    import uvloop

    code = 0
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(spec))
    except Exception:
        # Multiprocessing would print it, and wait for somebody to read it.
        _logger.critical("the terminator failed", exc_info=True)
        code = 1
    sys.exit(code)


async def _run(spec: TerminatorSpec) -> None:
    from wspulse.supervisor.tls.terminator import Terminator

    spec.channel.setblocking(False)
    terminator = Terminator(spec)
    # They were blocked across the start.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_OVER | {signal.SIGTERM})
    await terminator.run()
