"""Control clients that can have no socket for a moment: a ControlError that the next attempt may not meet, and no other."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq

from tests.supervisor.client.event_source import EventSource
from tests.support.control.control_stage import control_stage
from wspulse import AsyncControl
from wspulse.actors.values.errors import ControlError
from wspulse.supervisor.client.events import EventStream
from wspulse.supervisor.protocol.address import Address

NOWHERE = Address("ipc:///nowhere")


@contextmanager
def no_sockets(monkeypatch: pytest.MonkeyPatch, kind: int) -> Iterator[list[int]]:
    """ZeroMQ has no socket of this kind to give. Yields the attempts."""
    attempts: list[int] = []
    socket = zmq.Context.socket

    def refuse(context: zmq.Context[Any], wanted: int, *arguments: Any) -> Any:
        if wanted != kind:
            return socket(context, wanted, *arguments)
        attempts.append(wanted)
        raise zmq.ZMQError(errno.EMFILE)

    with monkeypatch.context() as patched:
        patched.setattr(zmq.Context, "socket", refuse)
        yield attempts


@pytest.mark.parametrize("kind", [zmq.DEALER, zmq.PAIR])
async def test_call_of_a_client_that_can_have_no_socket_is_a_control_error_and_the_next_one_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: int
) -> None:
    async with control_stage(tmp_path) as stage, AsyncControl(stage.endpoint) as control:
        with no_sockets(monkeypatch, kind), pytest.raises(ControlError, match="Too many open files"):
            await control.ping()
        assert (await control.ping()).workers == 2


def test_stream_of_events_that_comes_back_without_a_socket_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EventSource(tmp_path) as source, EventStream(source, NOWHERE, (), 10) as events:
        source.go()
        source.comes_back_at = source.calls + 1
        with no_sockets(monkeypatch, zmq.SUB) as attempts:
            events._timeout = 0.2
            assert list(events) == []
        assert 1 < len(attempts) <= 5, "one each 50 ms"
        events._timeout = 10
        source.published_before_probes = "connect.a"
        assert next(events).missed
