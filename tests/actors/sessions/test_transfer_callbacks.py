"""`on_transfer_out` and `on_transfer_in` as callbacks of a session: what they are given, and what becomes of what they raise."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.sessions.inbox_stage import made, turn
from wspulse import Server
from wspulse.actors.wire.frames import TEXT

TRANSFERS = ["on_transfer_out", "on_transfer_in"]


@pytest.mark.parametrize("name", TRANSFERS)
async def test_transfer_callback_is_given_the_connection_and_is_awaited(name: str) -> None:
    log: list[Any] = []

    async def callback(*given: object) -> None:
        await asyncio.sleep(0)
        log.append(given)

    inbox, _, _ = made(**{name: callback, "on_message": lambda *_: log.append("message")})
    inbox.post(name)
    inbox.receive(TEXT, b"one")
    for _ in range(3):
        await turn()
    assert log == [(inbox.connection,), "message"]
    assert not inbox.busy


@pytest.mark.parametrize("name", TRANSFERS)
async def test_transfer_callback_that_raises_is_told_and_ends_nothing(name: str) -> None:
    def fail(_connection: object) -> None:
        raise LookupError

    inbox, shard, session = made(**{name: fail})
    inbox.post(name)
    await turn()
    assert [(kind, type(error)) for kind, error in shard.raised] == [(name, LookupError)]
    assert session.failed == []
    assert not inbox.busy


@pytest.mark.parametrize("name", TRANSFERS)
def test_transfer_callback_may_be_an_argument_or_a_decorator(name: str) -> None:
    def callback(_connection: object) -> None: ...

    decorated = Server()
    assert getattr(decorated, name)(callback) is callback
    for server in (decorated, Server(**{name: callback})):
        assert server.handlers == {name: callback}
    with pytest.raises(ValueError, match=f"^wspulse: {name}: 5 is not callable"):
        getattr(decorated, name)(5)
