"""Events: what is published, how it is numbered, and that nobody who listens badly slows a worker down."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import msgspec
import zmq
from websockets.sync.client import connect

from tests.support.processes.server_process import serve_process, wait_until
from wspulse import AsyncControl, Control
from wspulse.supervisor.protocol.calls import calls

APP = """
from wspulse import Server

server = Server(lambda request: ("lobby", request.query["id"]), publish_messages=True, resume_window=30)

@server.on_message
def on_message(connection, frame):
    if frame.event == "fail":
        raise RuntimeError("as asked")
"""


def test_life_of_sessions_and_workers_is_told_in_order(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    with (
        serve_process("--app", "app:server", workers=2, cwd=tmp_path) as server,
        Control(server.control) as control,
        control.events(timeout=10) as events,
    ):
        with connect(f"{server.url}?id=alice") as client:
            client.send('{"event":"chat","payload":{"text":"hi"},"id":"7"}')
            client.send('{"event":"fail"}')
            wait_until(lambda: control.connections()[0].state == "suspended", 5, "the handler has raised")
        with connect(f"{server.url}?id=alice"):
            pass
        control.kick("alice")
        found = [next(events) for _ in range(7)]
        assert [event.kind for event in found] == [
            "connect",
            "message",
            "message",
            "drop",
            "restore",
            "drop",
            "disconnect",
        ]
        assert {event.connection for event in found} == {"alice"}
        assert {event.room for event in found} == {"lobby"}
        assert [event.seq - found[0].seq for event in found] == list(range(7)), "a subscriber to all sees every number"
        assert not any(event.missed for event in found)
        assert found[1].frame == {"event": "chat", "id": "7", "payload": {"text": "hi"}}
        assert found[3].error == {"type": "RuntimeError", "message": "as asked"}
        assert found[2].prev == found[1].seq
        assert found[5].prev == found[3].seq
        assert found[6].error is None
        os.kill(server.worker_pids()[1], signal.SIGKILL)
        assert [next(events).kind for _ in range(3)] == ["worker.died", "worker.started", "worker.ready"]
        control.restart(0)
        restarted = [next(events) for _ in range(5)]
        assert [event.kind.removeprefix("worker.") for event in restarted] == [
            "started",
            "ready",
            "moving",
            "moving",
            "restarted",
        ]
        assert [(event.is_over, event.moved) for event in restarted[2:4]] == [(False, None), (True, 0)]
        assert {event.shard for event in restarted} == {0}
        assert restarted[0].pid == server.worker_pids()[0]


def test_topics_select_kinds_and_rooms() -> None:
    with (
        serve_process("--app", "relay", workers=2) as server,
        Control(server.control) as control,
        control.events("connect.one", "disconnect.", timeout=2) as events,
    ):
        for room in ("one", "two", "one-and-a-half"):
            with connect(f"{server.url}?room={room}") as client:
                client.send('{"event":"x"}')
        found = sorted((event.kind, event.room) for event in events)
        assert found == [
            ("connect", "one"),
            ("connect", "one-and-a-half"),
            ("disconnect", "one"),
            ("disconnect", "one-and-a-half"),
            ("disconnect", "two"),
        ]


def test_plain_subscriber_sees_what_it_missed_in_the_numbers() -> None:
    with serve_process("--app", "relay", workers=2) as server, Control(server.control) as control:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        slow = context.socket(zmq.SUB)
        try:
            slow.setsockopt(zmq.RCVHWM, 10)
            slow.setsockopt(zmq.RCVBUF, 4096)
            for topic in (b"connect.", b"ping.slow"):
                slow.setsockopt(zmq.SUBSCRIBE, topic)
            slow.connect(control.ping().events)
            while not slow.poll(20):
                control.call(calls.ping("slow"))
            with control.events("connect.", timeout=1) as events:
                before = time.monotonic()
                for number in range(300):
                    with connect(f"{server.url}?id=user-{number}"):
                        pass
                took = time.monotonic() - before
                assert took < 20
                kept = list(events)
                assert len(kept) == 300
                assert not any(event.missed for event in kept)
            last = 0
            while slow.poll(200):
                topic, data = slow.recv_multipart()
                if topic == b"ping.slow":
                    continue
                event = msgspec.msgpack.decode(data)
                assert topic == b"connect.lobby"
                assert event["seq"] > last
                assert last == 0 or event["prev"] == last, "nothing was lost up to here"
                last = event["seq"]
            assert control.stats().totals.events_dropped == 0
        finally:
            slow.close(0)
            context.term()


def test_events_go_on_after_a_new_server_has_come(tmp_path: Path) -> None:
    runtime = tmp_path / "r"
    runtime.mkdir(mode=0o700)
    endpoint = f"ipc://{runtime}/c"

    async def main() -> None:
        async with AsyncControl(endpoint) as control:
            with serve_process("--app", "echo", "--control", endpoint, workers=1):
                stream = control.events("connect.", "worker.")
                await stream.__aenter__()
            with serve_process("--app", "echo", "--control", endpoint, workers=1) as server:
                async with asyncio.timeout(20):
                    # The stream may come back before or after the new worker is ready.
                    probe = asyncio.create_task(keep_connecting(server.url))
                    async for event in stream:
                        if event.kind == "connect":
                            break
                    probe.cancel()
                    await asyncio.gather(probe, return_exceptions=True)
            stream.close()

    def come_and_go(url: str) -> None:
        with connect(url):
            pass

    async def keep_connecting(url: str) -> None:
        while True:
            await asyncio.to_thread(come_and_go, url)

    asyncio.run(main())


def test_nothing_is_made_while_nobody_listens(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        APP
        + """
from wspulse.actors.runtime.event_feed import EventFeed
made = []
add = EventFeed._add
EventFeed._add = lambda *arguments: (made.append(1), add(*arguments))

@server.on_connect
async def on_connect(connection):
    from wspulse import Frame
    await connection.send(Frame("made", len(made)))
"""
    )
    with serve_process("--app", "app:server", workers=1, cwd=tmp_path) as server, Control(server.control) as control:
        for number in range(3):
            with connect(f"{server.url}?id={number}") as client:
                assert client.recv(timeout=5) == '{"event":"made","payload":0}'
        with control.events("connect."), connect(f"{server.url}?id=4") as client:
            assert client.recv(timeout=5) == '{"event":"made","payload":1}'

        def nothing_made() -> bool:
            made = []
            for number in ("5", "6"):
                with connect(f"{server.url}?id={number}{time.monotonic()}") as client:
                    made.append(client.recv(timeout=5))
            return made[0] == made[1]

        wait_until(nothing_made, 5, "the worker was told that nobody listens")
