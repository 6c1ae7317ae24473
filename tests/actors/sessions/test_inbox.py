"""The mailbox of a session whose handler does not return: what its clients leave behind, time and again, is bounded."""

from __future__ import annotations

import asyncio
import json

from tests.support.eventually import eventually
from tests.support.wire.raw_peer import RawPeer, masked
from wspulse import Connection, Frame, Server
from wspulse.actors.wire.frames import TEXT

REST_LIMIT_BYTES = 4 * 1024 * 1024
"""doc/internals.md: what lost transports had read waits for the handler up to this."""

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
