"""What a process that the application forks off a worker is without: our descriptors, our loop, and our SIGTERM.

Called by the worker's entry, before the application is loaded and when its loop runs. Such a process is the application's own,
which may live longer than the worker does and is ended as any other. Nothing here ends or watches it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from multiprocessing import resource_tracker
from pathlib import Path

from wspulse.actors.mesh.inheritance import Inheritance, open_descriptors
from wspulse.supervisor.worker.child_spec import ChildSpec, Place

__all__ = ["keep_descriptors_from_children", "keep_loop_from_children"]


def keep_descriptors_from_children(spec: ChildSpec, place: Place) -> None:
    """All that is open now is ours: the application has yet to be loaded. What is opened later is known by its names."""
    tracker = resource_tracker.getfd()  # multiprocessing's, which goes on in the child
    ours = frozenset(each for each in open_descriptors() if each[0] != tracker)
    folders = {str(Path(path).parent) for path in (*place.mailbox_paths.values(), spec.desk_path) if path}
    Inheritance(folders=folders, descriptors=ours).begin()


def keep_loop_from_children(loop: asyncio.AbstractEventLoop) -> None:
    """Called when the loop has its handler of SIGTERM: the signal would wake our loop in the child's place."""
    Inheritance(loop=loop).begin()
    ours = signal.getsignal(signal.SIGTERM)
    before = threading.local()

    def hold_back() -> None:
        """One that comes right behind the fork, as from `Process.terminate`, waits until the child is itself."""
        before.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def let_come() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before.mask)

    def forget() -> None:
        signal.set_wakeup_fd(-1)
        if signal.getsignal(signal.SIGTERM) is ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        let_come()

    os.register_at_fork(before=hold_back, after_in_parent=let_come, after_in_child=forget)
