"""The access log: a line for each upgrade, refusal and end, and nothing of it where nobody reads it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.wire.raw_peer import RawPeer, head, masked
from wspulse import Connection, ConnectRejected, Frame, Request, Server

OPENED, REFUSED, ENDED = "a connection was opened", "a request was refused", "a connection has ended"


def identify(request: Request) -> tuple[str, str]:
    if request.query.get("token") == "wrong":
        raise ConnectRejected("bad token")
    return "tea", request.query.get("id", "ada")


def made(**options: Any) -> Server:
    """Each frame goes to the room, and twice to its sender."""
    server = Server(identify, **{"access_log": True, **options})

    @server.on_message
    async def on_message(connection: Connection, frame: Frame) -> None:
        await connection.send(frame)
        await connection.send(frame)
        await server.broadcast(connection.room_id, frame)

    return server


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, str]]:
    return [(line.name, line.levelname, line.message) for line in caplog.records]


def fields(caplog: pytest.LogCaptureFixture, text: str) -> dict[str, Any]:
    (line,) = [line for line in caplog.records if line.message == text]
    return vars(line)


async def test_connection_leaves_a_line_at_its_upgrade_and_one_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with made().serve() as running:
        async with await RawPeer.upgraded(running.port, "/ws?token=secret") as peer:
            for text in (b'{"event": "a"}', b'{"event": "b"}', b"undecodable"):
                peer.writer.write(masked(1, text) + masked(9, b"ping"))
            for _ in range(9):  # two answers and a broadcast of each of two frames, and three pongs
                await peer.frame()
            peer.writer.write(masked(8, (3333).to_bytes(2)))
            assert await peer.close_code() == (3333, "")
        await eventually(lambda: len(lines(caplog)) >= 3, "its end is told")
    assert [line for line in lines(caplog) if line[0] == "wspulse.access"] == [
        ("wspulse.access", "INFO", OPENED),
        ("wspulse.access", "INFO", ENDED),
    ]
    opened, ended = fields(caplog, OPENED), fields(caplog, ENDED)
    for line in (opened, ended):
        assert (line["method"], line["path"], line["connection_id"], line["room_id"]) == ("GET", "/ws", "ada", "tea")
        assert line["remote_address"].startswith("127.0.0.1:")
    assert (opened["status"], opened["resumed"]) == (101, False)
    assert (ended["code"], ended["frames_in"], ended["frames_out"]) == (3333, 3, 6)
    assert 0 <= ended["duration_s"] < 30
    assert "secret" not in caplog.text


async def test_refusal_leaves_a_line_with_its_status_and_reason(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with made().serve() as running, await RawPeer.dial(running.port) as peer:
        peer.writer.write(head("/ws?token=wrong"))
        await peer.rest()
    assert lines(caplog) == [("wspulse.access", "INFO", REFUSED)]
    line = fields(caplog, REFUSED)
    assert (line["status"], line["reason"], line["path"]) == (401, "bad token", "/ws")


async def test_end_without_a_close_frame_is_1006_and_a_resume_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    server = made(resume_window=30)
    async with server.serve() as running:
        async with await RawPeer.upgraded(running.port, "/ws"):
            pass
        await eventually(lambda: len(lines(caplog)) == 2, "its end is told")
        assert fields(caplog, ENDED)["code"] == 1006
        caplog.clear()
        session = server._running().shard.sessions["ada"]
        session.send(session.shard.encode(Frame("kept")))
        async with await RawPeer.upgraded(running.port, "/ws") as peer:
            await peer.expect("kept")
            await server.kick("ada")
            assert await peer.close_code() == (1000, "kicked")
        await eventually(lambda: len(lines(caplog)) == 2, "its end is told")
    assert fields(caplog, OPENED)["resumed"] is True
    ended = fields(caplog, ENDED)
    assert (ended["code"], ended["frames_out"]) == (1000, 1)


async def test_taken_over_connection_ends_and_the_next_is_told_as_resumed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with (
        made(resume_window=30, on_duplicate="resume").serve() as running,
        await RawPeer.upgraded(running.port, "/ws") as old,
        await RawPeer.upgraded(running.port, "/ws"),
    ):
        assert await old.close_code() == (1000, "replaced")
    assert [vars(line).get("resumed") for line in caplog.records if line.message == OPENED] == [False, True]
    assert sorted(vars(line)["code"] for line in caplog.records if line.message == ENDED) == [1000, 1006]


async def test_without_the_option_debug_tells_of_each_connection_and_refusal(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "wspulse")
    async with made(access_log=False).serve() as running:
        async with await RawPeer.dial(running.port) as peer:
            peer.writer.write(head("/ws?token=wrong"))
            await peer.rest()
        async with await RawPeer.upgraded(running.port, "/ws"):
            pass
        await eventually(lambda: len(lines(caplog)) == 3, "the end is told")
    assert lines(caplog) == [("wspulse", "DEBUG", text) for text in (REFUSED, OPENED, ENDED)]


async def test_nothing_of_it_is_there_where_it_is_off(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    server = made(access_log=False)
    async with server.serve() as running, await RawPeer.upgraded(running.port, "/ws"):
        shard = server._running().shard
        session = shard.sessions["ada"]
        assert shard.journal.access is None
        assert session.transport is not None
        assert session.transport.session is session
    assert lines(caplog) == []


async def test_logger_of_ones_own_has_the_access_log_as_its_child(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with made(logger=logging.getLogger("mine")).serve() as running, await RawPeer.upgraded(running.port, "/ws"):
        pass
    assert {line.name for line in caplog.records} == {"mine.access"}


async def test_what_a_client_made_up_is_shortened(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with made().serve() as running, await RawPeer.dial(running.port) as peer:
        peer.writer.write(head("/" + "x" * 5000, method="M" * 500))
        await peer.rest()
    for line in caplog.records:
        assert len(vars(line)["path"]) == len(vars(line)["method"]) == 201


async def test_no_record_is_kept_of_who_has_gone(caplog: pytest.LogCaptureFixture) -> None:
    server = made()
    async with server.serve() as running:
        access = server._running().shard.journal.access
        assert access is not None
        for _ in range(5):
            async with await RawPeer.upgraded(running.port, "/ws"):
                assert len(access._records) >= 1
        await eventually(lambda: not access._records, "nobody is left")
