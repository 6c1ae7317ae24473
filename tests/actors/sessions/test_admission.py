"""What a newcomer becomes whose id a session has that waits for nobody: because `Accept` said so, or the application."""

from __future__ import annotations

import pytest

from tests.support.eventually import eventually
from tests.support.simulation.world import World, server_options
from tests.support.wire.raw_peer import RawPeer
from wspulse import Accept, Request, Server
from wspulse.actors.sessions.state import SessionState


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


@pytest.mark.parametrize("resumable", [True, False])
def test_session_whose_application_lets_it_wait_for_nobody_is_kicked_by_its_duplicate(resumable: bool) -> None:
    world = World(1, server_options(10.0, True, "resume", 4, 30.0, 6.0), frozenset(), None)
    with world.loop:
        shard = world.shard
        shard.resumable = lambda _connection: resumable
        world.connect("ada", "lobby")
        world.loop.run_until_idle()
        first = shard.sessions["ada"]
        world.connect("ada", "lobby")
        world.loop.run_until_idle()
        assert (shard.sessions["ada"] is first) is resumable
        assert (first.state is SessionState.CLOSED) is not resumable
