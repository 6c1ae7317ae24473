"""A server with TLS in the test's own loop: it is ready when clients find somebody, and says so when they do not."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.supervisor.test_supervisor import folder, running, supervisor
from tests.support.eventually import eventually
from tests.support.http.authority import Authority
from wspulse.supervisor.process.child import ChildState
from wspulse.supervisor.supervisor import Supervisor
from wspulse.supervisor.tls import service
from wspulse.supervisor.tls.service import NO_TERMINATOR
from wspulse.supervisor.tls.spec import TerminatorSpec

__all__ = ["folder"]


@pytest.fixture
def made(tmp_path: Path) -> Supervisor:
    certificate, key = Authority().certificate(tmp_path)
    return supervisor(workers="1", tls_cert=str(certificate), tls_key=str(key))


def fails(_spec: TerminatorSpec) -> None:
    sys.exit(3)


def says_nothing(spec: TerminatorSpec) -> None:
    """Until it is told to end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    spec.channel.setblocking(True)
    spec.channel.recv(1)


def terminator() -> psutil.Process:
    (found,) = [each for each in psutil.Process().children() if "wspulse: tls" in " ".join(each.cmdline())]
    return found


async def test_terminator_that_fails_before_the_server_is_ready_ends_it_with_the_reason(
    made: Supervisor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    monkeypatch.setattr(service, "main", fails)
    async with running(made) as ending:
        assert await asyncio.wait_for(ending, 20) == 1
    assert not made.is_ready
    assert "ready on" not in capfd.readouterr().out
    (said,) = [each.__dict__ for each in caplog.records if each.levelname == "CRITICAL"]
    assert (said["message"], said["reason"]) == (
        "TLS cannot be served; the server stops",
        "ended with exit code 3",
    )


async def test_server_is_not_ready_before_its_terminators_are_up(
    made: Supervisor, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setattr(service, "main", says_nothing)
    async with running(made):
        await eventually(
            lambda: [each.state for each in made.children] == [ChildState.READY], "the worker is ready", 20
        )
        told = [made.is_ready, capfd.readouterr().out]
        made._frontend._terminators.up(0)
        assert [*told, made.is_ready] == [False, "", True]
        assert capfd.readouterr().out.startswith("wspulse: ready on wss://127.0.0.1:")


async def test_server_without_a_terminator_is_unhealthy_until_another_is_up(made: Supervisor) -> None:
    async with running(made):
        await eventually(lambda: made.is_ready, "it is ready", 20)
        assert made.health.ok
        os.kill(terminator().pid, signal.SIGKILL)
        await eventually(lambda: made.health.reasons == (NO_TERMINATOR,), "it is unhealthy", 10)
        await eventually(lambda: made.health.ok, "it is healthy again", 10)
