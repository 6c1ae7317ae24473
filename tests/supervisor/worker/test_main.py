"""A worker's life in the test's own loop: what of its end is done when something of it fails."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.supervision.started_worker import SPEC
from wspulse import Server
from wspulse.actors.accept.listener import Listener
from wspulse.actors.mesh.lifecycle import Drain, Drained, Exit, Ready
from wspulse.actors.mesh.message import Envelope, Message, Tell
from wspulse.actors.mesh.stream import Stream
from wspulse.actors.runtime.event_feed import EventFeed
from wspulse.actors.runtime.runtime import ShardRuntime
from wspulse.supervisor.worker.child_spec import Place, Start
from wspulse.supervisor.worker.main import Worker


@pytest.mark.parametrize("stage", [None, "drain", "stop"])
async def test_stage_of_the_end_that_fails_keeps_no_other_from_its_end(
    stage: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("wspulse.supervisor.worker.main.keep_loop_from_children", lambda _loop: None)
    done: list[str] = []
    monkeypatch.setattr(EventFeed, "flush", lambda _feed: done.append("events flushed"))
    if stage is not None:
        real = getattr(ShardRuntime, stage)

        async def fail(self: ShardRuntime, **named: Any) -> None:
            await real(self, **named)
            raise RuntimeError("planted")

        monkeypatch.setattr(ShardRuntime, stage, fail)
    server = Server(lambda _request: ("lobby", ""))
    server.on_stop(lambda: done.append("on_stop"))
    said: list[Message] = []
    ended = asyncio.Event()

    def take(envelope: Envelope, _fd: int | None) -> None:
        assert isinstance(envelope, Tell)
        said.append(envelope.message)

    ours, theirs = socket.socketpair()
    channel = Stream(ours, take, ended.set)
    listener = socket.create_server(("127.0.0.1", 0))
    running = asyncio.create_task(Worker(SPEC, Start(Place(0, 0, 1, [Listener(listener)]), theirs), server).run())
    await eventually(lambda: Ready(0, 1) in said, "it is ready")
    channel.send(Tell(Drain()))
    await eventually(lambda: Drained() in said, "it has drained")
    channel.send(Tell(Exit()))
    async with asyncio.timeout(5):
        assert await running == (0 if stage is None else 1)
        await ended.wait()
    assert done == ["on_stop", "events flushed"]
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert ["planted" in str(record.exc_info) for record in errors] == ([] if stage is None else [True])
    channel.close()
    asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
