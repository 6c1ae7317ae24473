"""A real worker whose mailbox is moved, by the supervisor's side of its channel."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.supervision.started_worker import started_worker
from wspulse.actors.mesh.lifecycle import Ready, WatchEvents
from wspulse.actors.mesh.link import ShardLink
from wspulse.actors.mesh.message import ListRooms
from wspulse.supervisor.premises.listeners.listen_socket import open_mailbox_listener
from wspulse.supervisor.process.worker_process import WorkerProcess


@asynccontextmanager
async def ready_worker(folder: Path) -> AsyncIterator[WorkerProcess]:
    with open_mailbox_listener(str(folder / "mailbox")) as mailbox:
        async with started_worker(mailbox) as worker:
            await worker.says(Ready)
            yield worker.process


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
