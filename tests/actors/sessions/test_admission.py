"""What a newcomer becomes whose id a session has: of which `Accept` said that nobody may take it over."""

from __future__ import annotations

import pytest

from tests.support.eventually import eventually
from tests.support.wire.raw_peer import RawPeer
from wspulse import Accept, Request, Server


@pytest.mark.parametrize(
    ("resume", "told", "farewell"),
    [
        (False, ["connect", "end DuplicateConnectionIDError", "connect"], "duplicate connection id"),
        (True, ["connect", "drop", "restore"], "replaced"),
    ],
)
async def test_session_is_taken_over_by_its_duplicate_only_where_it_may_be_resumed(
    resume: bool, told: list[str], farewell: str
) -> None:
    log: list[str] = []

    def who(_request: Request) -> Accept:
        return Accept("lobby", "ada", resume=resume)

    server = Server(who, on_duplicate="resume", resume_window=10)
    server.on_connect(lambda _connection: log.append("connect"))
    server.on_disconnect(lambda _connection, error: log.append(f"end {type(error).__name__}"))
    server.on_transport_drop(lambda _connection, _error: log.append("drop"))
    server.on_transport_restore(lambda _connection: log.append("restore"))
    async with server.serve() as running, await RawPeer.upgraded(running.port, "/ws") as first:
        await eventually(lambda: log == ["connect"], "the first one is there")
        async with await RawPeer.upgraded(running.port, "/ws"):
            assert await first.close_code() == (1000, farewell)
            await eventually(lambda: log == told, "the second one is there")
