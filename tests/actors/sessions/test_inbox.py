"""The mailbox of a session whose handler does not return: what its clients leave behind, time and again, is bounded."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.support.eventually import eventually
from tests.support.wire.raw_peer import RawPeer, masked
from wspulse import Connection, Frame, JSONCodec, Server
from wspulse.actors.sessions.exact.inbox import ExactInbox
from wspulse.actors.wire.frames import TEXT

REST_LIMIT_BYTES = 4 * 1024 * 1024
"""doc/inside/internals.md: what lost transports had read waits for the handler up to this."""

_AHEAD_FRAMES = 6000
"""About 400 KB, sent with the request: what a client may send ahead of its 101 without being held up."""

_RECONNECTS = 20


async def test_reconnects_to_a_session_whose_handler_does_not_return_leave_a_bounded_mailbox_in_order() -> None:
    gate = asyncio.Event()
    handled: list[int] = []
    server = Server(lambda _request: ("room", "ada"), resume_window=30, on_duplicate="resume")

    @server.on_message
    async def handle(_connection: Connection, frame: Frame) -> None:
        handled.append(frame.decode(int))
        await gate.wait()

    async with server.serve() as running:
        shard = server._running().shard
        for reconnect in range(_RECONNECTS):
            first = reconnect * _AHEAD_FRAMES
            frames = b"".join(_frame(number) for number in range(first, first + _AHEAD_FRAMES))
            peer = await RawPeer.upgraded(running.port, "/ws", glued=frames)
            peer.writer.transport.abort()
        # Each left its rest when the next one took the session over, the last one when the end of it is seen.
        mailbox = shard.sessions["ada"].inbox._mailbox
        assert mailbox is not None
        waiting_bytes = sum(len(item[0].payload) + 128 for item in mailbox if isinstance(item[0], Frame))
        assert REST_LIMIT_BYTES / 2 < waiting_bytes < REST_LIMIT_BYTES * 1.1
        assert shard.metrics.frames_in_dropped > 0
        gate.set()
        await eventually(lambda: not shard.sessions["ada"].inbox._mailbox, "what was kept is handled")
        assert handled == sorted(set(handled))
        for reconnect in range(_RECONNECTS):
            first = reconnect * _AHEAD_FRAMES
            of_this = [number - first for number in handled if 0 <= number - first < _AHEAD_FRAMES]
            assert of_this == list(range(len(of_this))), "a gap where there was no drop"


def _frame(number: int) -> bytes:
    return masked(TEXT, json.dumps({"event": "x" * 20, "payload": number}).encode())


async def test_what_no_longer_fits_of_an_exact_client_is_not_counted() -> None:
    gate = asyncio.Event()
    handled: list[int] = []
    server = Server(lambda _request: ("room", "ada"), resume_window=30)

    @server.on_message
    async def handle(_connection: Connection, frame: Frame) -> None:
        handled.append(frame.decode(int))
        await gate.wait()

    async with server.serve(patience_s=1) as running:
        shard = server._running().shard
        token = ""
        counts: list[int] = []
        for reconnect in range(_RECONNECTS):
            offers = "wspulse.1" + (f", wspulse.resume.{token}.0" if token else "")
            # As one that does not wait for its first frame.
            first = reconnect * _AHEAD_FRAMES
            frames = b"".join(_frame(number) for number in range(first, first + _AHEAD_FRAMES))
            lines = (f"Sec-WebSocket-Protocol: {offers}",)
            peer = await RawPeer.upgraded(running.port, "/ws", glued=frames, lines=lines)
            told = await peer.expect("wspulse.session")
            token = told["token"]
            counts.append(told["received"])
            peer.writer.transport.abort()
        assert counts[1] > 0
        assert counts[-1] == counts[-2] < (_RECONNECTS - 2) * _AHEAD_FRAMES
        inbox = shard.sessions["ada"].inbox
        assert inbox._waiting_bytes < REST_LIMIT_BYTES * 1.1
        gate.set()
        await eventually(lambda: not inbox._mailbox, "what was taken is handled")
        assert handled == sorted(set(handled))
        assert isinstance(inbox, ExactInbox)
        assert len(handled) == inbox.received
        assert shard.metrics.frames_in_dropped == 0


def test_events_of_the_protocol_reach_no_handler_of_a_plain_client() -> None:
    async def play(asked: bool) -> None:
        heard: list[str] = []
        server = Server(lambda _request: ("room", "ada"))
        server.on_message(lambda _connection, frame: heard.append(frame.event))
        async with server.serve() as running, await RawPeer.upgraded(running.port, "/ws") as peer:
            shard = server._running().shard
            if asked:
                connection = server.local_connection("ada")
                assert connection is not None
                call = asyncio.create_task(connection.call(Frame("ask"), 5))
                await peer.expect("ask")
                call.cancel()
            for event in ("wspulse.ack", "wspulse.", "wspulse", "x", "y"):
                peer.writer.write(masked(TEXT, json.dumps({"event": event}).encode()))
            await eventually(lambda: heard[-1:] == ["y"], "all are heard")
            assert heard == ["wspulse", "x", "y"]
            assert shard.metrics.frames_reserved == 2

    for asked in (False, True):
        asyncio.run(play(asked))


async def test_answer_with_an_event_of_the_protocol_is_none_as_an_exact_clients_is_not() -> None:
    for lines in ((), ("Sec-WebSocket-Protocol: wspulse.1",)):
        server = Server(lambda _request: ("room", "ada"))
        async with server.serve() as running, await RawPeer.upgraded(running.port, "/ws", lines=lines) as peer:
            if lines:
                await peer.expect("wspulse.session")
            connection = server.local_connection("ada")
            assert connection is not None
            call = asyncio.create_task(connection.call(Frame("ask"), 5))
            question = json.loads((await peer.frame())[1])
            for event in ("wspulse.lost", "ask"):
                peer.writer.write(masked(TEXT, json.dumps({"event": event, "id": question["id"]}).encode()))
            assert (await call).event == "ask"


class EventsOfAnyType:
    """A user's codec, which makes of a message a frame whose event is what it likes."""

    binary = False
    encode = staticmethod(JSONCodec().encode)

    def decode(self, data: bytes) -> Frame:
        return Frame(**json.loads(data))


@pytest.mark.parametrize("asked", [False, True], ids=["never asked", "asked"])
async def test_event_that_is_no_text_is_dropped_and_costs_no_connection(asked: bool) -> None:
    heard: list[str] = []
    server = Server(lambda _request: ("room", "ada"), codec=EventsOfAnyType())
    server.on_message(lambda _connection, frame: heard.append(frame.event))
    async with server.serve() as running, await RawPeer.upgraded(running.port, "/ws") as peer:
        shard = server._running().shard
        if asked:
            connection = server.local_connection("ada")
            assert connection is not None
            call = asyncio.create_task(connection.call(Frame("ask"), 5))
            await peer.expect("ask")
            call.cancel()
        for message in ({"event": None}, {"event": 1}, {"event": "x"}):
            peer.writer.write(masked(TEXT, json.dumps(message).encode()))
        await eventually(lambda: heard == ["x"], "what is behind them is heard")
        assert shard.metrics.frames_undecodable == 2
