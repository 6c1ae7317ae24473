"""What a newcomer becomes whose id a session has that waits for nobody: because `Accept` said so, or the application."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.simulation.outside.small import server_options
from tests.support.simulation.world import World
from tests.support.wire.raw_peer import RawPeer, masked
from wspulse import Accept, Request, Server
from wspulse.actors.sessions.state import SessionState
from wspulse.actors.wire.frames import TEXT


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


@pytest.mark.parametrize(
    ("resume", "told"), [(False, ["connect", "one", "two"]), (True, ["connect", "one", "drop", "restore", "two"])]
)
async def test_exact_client_that_is_back_before_its_loss_was_seen_is_told_of_only_where_its_session_has_a_window(
    resume: bool, told: list[str]
) -> None:
    log: list[str] = []
    server = Server(lambda _request: Accept("lobby", "ada", resume=resume), resume_window=10)
    server.on_connect(lambda _connection: log.append("connect"))
    server.on_message(lambda _connection, frame: log.append(frame.event))
    server.on_transport_drop(lambda _connection, _error: log.append("drop"))
    server.on_transport_restore(lambda _connection: log.append("restore"))
    async with server.serve() as running:

        async def dialled(claim: str) -> tuple[RawPeer, dict[str, Any]]:
            peer = await RawPeer.upgraded(running.port, "/ws", lines=(f"Sec-WebSocket-Protocol: wspulse.1{claim}",))
            return peer, await peer.expect("wspulse.session")

        first, session = await dialled("")
        assert session["window"] == (10 if resume else 0)
        first.writer.write(masked(TEXT, b'{"event":"one"}'))
        await eventually(lambda: log == ["connect", "one"], "its message is taken")
        again, session = await dialled(f", wspulse.resume.{session['token']}.0")
        assert (session["recovered"], session["received"]) == (True, 1)
        again.writer.write(masked(TEXT, b'{"event":"two"}'))
        await eventually(lambda: log == told, "and the next one")
        await first.close()
        await again.close()


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
