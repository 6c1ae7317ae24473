"""A worker as the supervisor starts it, in a real process."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.eventually import eventually
from wspulse.actors.accept.listener import Listener
from wspulse.actors.mesh.message import Message
from wspulse.supervisor.process.worker_process import WorkerProcess
from wspulse.supervisor.worker.child_spec import ChildSpec, Place

__all__ = ["SPEC", "StartedWorker", "started_worker"]

SPEC = ChildSpec(
    app="echo",
    overrides={},
    path="/ws",
    alive_period_s=0.05,
    drain_s=10.0,
    log_level="warning",
    log_format="text",
)


class StartedWorker:
    """A worker process, and what it said, with its exit codes."""

    def __init__(self, listener: socket.socket, mailbox: socket.socket | None = None) -> None:
        self.said: list[Message] = []
        self.codes: list[int] = []
        self.process = WorkerProcess(
            SPEC,
            Place(0, 0, 7, [Listener(listener)], mailbox),
            on_message=self._on_message,
            on_exit=lambda _process, code: self.codes.append(code),
        )

    def _on_message(self, process: WorkerProcess, message: Message) -> None:
        assert process.incarnation == 7
        self.said.append(message)

    async def says(self, kind: type[Any]) -> None:
        await eventually(
            lambda: any(isinstance(message, kind) for message in self.said), f"it says {kind.__name__}", 20
        )

    async def ended(self) -> None:
        await eventually(lambda: self.codes, "it has ended", 20)


@asynccontextmanager
async def started_worker(mailbox: socket.socket | None = None) -> AsyncIterator[StartedWorker]:
    """On the way out the process has ended, and was waited for."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        worker = StartedWorker(listener, mailbox)
        try:
            yield worker
        finally:
            worker.process.kill()
            await worker.ended()
