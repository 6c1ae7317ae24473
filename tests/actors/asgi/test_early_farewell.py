"""What comes before an ASGI server's own handlers of SIGINT and SIGTERM, and what is left to them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from types import FrameType

import pytest

from tests.support.eventually import eventually
from wspulse.actors.asgi import early_farewell
from wspulse.actors.asgi.early_farewell import EarlyFarewell


class AsgiServer:
    """Has a handler as uvicorn's server has."""

    should_exit = False

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def handle_exit(self, number: int, _frame: FrameType | None) -> None:
        self.log.append(f"theirs {signal.Signals(number).name}")


@pytest.fixture
def log() -> Iterator[list[str]]:
    """What happens; SIGTERM has an ASGI server's handler meanwhile."""
    calls: list[str] = []
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, AsgiServer(calls).handle_exit)
    yield calls
    signal.signal(signal.SIGTERM, before)


def chained(log: list[str], drained: asyncio.Event) -> EarlyFarewell:
    async def drain() -> None:
        log.append("drain")
        await drained.wait()
        log.append("drained")

    farewell = EarlyFarewell(drain)
    farewell.renew(asyncio.get_running_loop())
    farewell.chain()
    return farewell


async def test_signal_reaches_the_asgi_server_when_the_sessions_are_drained(log: list[str]) -> None:
    drained = asyncio.Event()
    farewell = chained(log, drained)
    signal.raise_signal(signal.SIGTERM)
    await eventually(lambda: log == ["drain"], "the drain has begun")
    drained.set()
    await eventually(lambda: log == ["drain", "drained", "theirs SIGTERM"], "theirs came last")
    farewell.unchain()


async def test_second_signal_reaches_the_asgi_server_at_once(log: list[str]) -> None:
    drained = asyncio.Event()
    farewell = chained(log, drained)
    signal.raise_signal(signal.SIGTERM)
    await eventually(lambda: log == ["drain"], "the drain has begun")
    signal.raise_signal(signal.SIGTERM)
    assert log == ["drain", "theirs SIGTERM"]
    drained.set()
    await eventually(lambda: len(log) == 4, "the first one is handed on too")
    farewell.unchain()


async def test_signal_is_handed_on_where_the_drain_takes_too_long(
    log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_farewell, "_FAREWELL_S", 0.01)
    farewell = chained(log, asyncio.Event())
    signal.raise_signal(signal.SIGTERM)
    await eventually(lambda: log == ["drain", "theirs SIGTERM"], "theirs came without the end of the drain")
    farewell.unchain()


async def test_handlers_are_given_back_and_others_are_left_alone(log: list[str]) -> None:
    interrupt = signal.getsignal(signal.SIGINT)
    theirs = signal.getsignal(signal.SIGTERM)
    farewell = chained(log, asyncio.Event())
    assert signal.getsignal(signal.SIGTERM) != theirs
    assert signal.getsignal(signal.SIGINT) is interrupt, "it is no ASGI server's"
    farewell.unchain()
    assert signal.getsignal(signal.SIGTERM) == theirs
    signal.raise_signal(signal.SIGTERM)
    assert log == ["theirs SIGTERM"]


async def test_handler_that_somebody_put_there_meanwhile_stays(log: list[str]) -> None:
    farewell = chained(log, asyncio.Event())
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    farewell.unchain()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


async def test_signal_after_the_end_of_the_loop_is_left_to_the_asgi_server(log: list[str]) -> None:
    farewell = chained(log, asyncio.Event())
    ended = asyncio.new_event_loop()
    ended.close()
    farewell.renew(ended)
    signal.raise_signal(signal.SIGTERM)
    assert log == ["theirs SIGTERM"]
    farewell.unchain()
