"""A real worker whose mailbox is moved, by the supervisor's side of its channel."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.eventually import eventually
from wspulse.actors.mesh.lifecycle import Ready, WatchEvents
from wspulse.actors.mesh.link import ShardLink
from wspulse.actors.mesh.message import ListRooms, Message
from wspulse.supervisor.premises.listen_socket import open_mailbox_listener
from wspulse.supervisor.process.worker_process import WorkerProcess
from wspulse.supervisor.worker.child_spec import ChildSpec


@asynccontextmanager
async def ready_worker(folder: Path) -> AsyncIterator[WorkerProcess]:
    """On the way out the process has ended, and was waited for."""
    spec = ChildSpec(
        app="echo",
        overrides={},
        workers=1,
        path="/ws",
        mailbox_paths=(),
        bus=None,
        alive_period_s=0.05,
        drain_s=10.0,
        log_level="warning",
        log_format="text",
    )
    said: list[Message] = []
    codes: list[int] = []
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        open_mailbox_listener(str(folder / "mailbox")) as mailbox,
    ):
        listener.setblocking(False)
        worker = WorkerProcess(
            spec,
            0,
            7,
            listener,
            mailbox,
            on_message=lambda _worker, message: said.append(message),
            on_exit=lambda _worker, code: codes.append(code),
        )
        try:
            await eventually(lambda: any(isinstance(message, Ready) for message in said), "it is ready", 20)
            yield worker
        finally:
            worker.kill()
            await eventually(lambda: codes, "it has ended", 20)


async def test_worker_is_found_where_its_mailbox_was_moved_to(tmp_path: Path) -> None:
    with open_mailbox_listener(str(tmp_path / "other")) as other:
        async with ready_worker(tmp_path) as worker:
            link = ShardLink(0, str(tmp_path / "other"))
            link.open()
            assert worker.move_mailbox(other) is True
            try:
                assert await link.ask(ListRooms(), timeout_s=5) == []
            finally:
                link.close()


async def test_worker_that_takes_nothing_gets_no_listener(tmp_path: Path) -> None:
    with open_mailbox_listener(str(tmp_path / "other")) as other:
        async with ready_worker(tmp_path) as worker:
            os.kill(worker.pid, signal.SIGSTOP)
            try:
                worker.tell(WatchEvents([b"x" * 8_000_000]))  # more than the kernel holds for it
                assert worker.move_mailbox(other) is False
            finally:
                os.kill(worker.pid, signal.SIGCONT)
            link = ShardLink(0, str(tmp_path / "mailbox"))
            link.open()
            try:
                assert await link.ask(ListRooms(), timeout_s=10) == []
            finally:
                link.close()
