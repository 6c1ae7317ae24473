"""What a program sends over a line: frames, answers and calls, and what becomes of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.actors.client.stage import Told, line_to, scripted
from wspulse.actors.client.clock import Clock
from wspulse.client import LineClosedError, SendBufferFullError, SessionLostError

QUIET: list[dict[str, Any]] = [{"session": {}}]
RECOVERED: dict[str, Any] = {"session": {"received": 1, "recovered": True}}


def frames(event: str, *payloads: Any) -> list[dict[str, Any]]:
    return [{"send": {"event": event, "payload": payload}} for payload in payloads]


async def test_frame_that_cannot_be_encoded_raises_and_is_not_sent() -> None:
    async with scripted([{"session": {}}, {"expect": {"event": "a"}}]) as server, line_to(server) as line:
        with pytest.raises(TypeError):
            line.send("a", object())
        with pytest.raises(TypeError):
            await line.call("a", object())
        with pytest.raises(TypeError, match=r"event and id must be str"):
            line.send(5)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"^wspulse: 'wspulse.ack' is reserved for the protocol$"):
            line.send("wspulse.ack", 1)
        line.send("a", 1)
        assert (await server.report())["ok"]


async def test_send_waits_for_room_where_it_is_asked_to() -> None:
    steps = [{"session": {}}, *[{"expect": {"event": "a", "payload": number}} for number in range(4)]]
    steps[3:3] = [{"send": {"event": "wspulse.ack", "payload": 2}}]
    async with (
        scripted([*steps, {"send": {"event": "wspulse.ack", "payload": 4}}]) as server,
        line_to(server, buffer=2) as line,
    ):
        for number in range(4):
            await line.send_wait("a", number)
        await line.flush()
        assert (await server.report())["ok"]


async def test_full_buffer_is_an_error_that_says_whose() -> None:
    async with line_to(scripted(), buffer_bytes=10) as line:
        line.send("a", "x" * 100)
        with pytest.raises(SendBufferFullError, match=r"send buffer is full: ws://127.0.0.1:0/ws$"):
            line.send("a")


async def test_call_that_was_given_up_before_it_was_sent_is_not_sent() -> None:
    async with (
        scripted([{"gate": "go"}, {"session": {}}, {"expect": {"event": "b"}}, {"quiet_s": 0.05}]) as server,
        line_to(server) as line,
    ):
        with pytest.raises(TimeoutError, match=r"^wspulse: no answer to 'a' within 0.01 s$"):
            await line.call("a", timeout_s=0.01)
        line.send("b")
        server._gate("go").set()
        assert await server.report() == {"ok": True, "failures": []}


async def test_flush_waits_for_what_was_sent_before_it_though_a_later_call_is_given_up() -> None:
    async with (
        scripted(
            [{"session": {}}, {"expect": {"event": "a"}}, {"reset": True}], [{"gate": "back"}, RECOVERED]
        ) as server,
        line_to(server) as line,
    ):
        told = Told(line)
        line.send("a", 1)
        await told.until(lambda told: told.states[-1:] == ["reconnecting"])
        flushing = asyncio.create_task(line.flush())
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await line.call("b", timeout_s=0.01)
        await asyncio.sleep(0)
        assert not flushing.done()
        server._gate("back").set()
        await flushing


async def test_flush_raises_where_what_it_waits_for_is_handed_back() -> None:
    async with (
        scripted(
            [{"session": {}}, {"expect": {"event": "a"}}, {"reset": True}], [{"session": {"token": "u"}}]
        ) as server,
        line_to(server) as line,
    ):
        await line.ready
        line.send("a", 1)
        with pytest.raises(SessionLostError):
            await line.flush()
        await line.flush()


async def test_question_whose_payload_has_another_type_is_answered_with_an_error() -> None:
    steps = [
        {"session": {}},
        {"send": {"event": "age?", "id": "wspulse:1", "payload": "old"}},
        {"expect": {"event": "age?.error", "id": "wspulse:1"}},
    ]
    async with scripted(steps) as server, line_to(server) as line:
        told = Told(line)
        line.on("age?", type=int)(lambda age: age)
        await told.until(lambda told: told.of("wspulse.error"))
        assert [news["kind"] for news in told.of("wspulse.error")] == ["frame"]
        assert (await server.report())["failures"] == []


async def test_call_decodes_the_answer_to_the_type_that_was_said() -> None:
    steps = [
        {"session": {}},
        {"expect": {"event": "a", "id": "$id"}},
        {"send": {"event": "a", "id": "$id", "payload": 5}},
    ]
    async with scripted(steps) as server, line_to(server) as line:
        assert type(await line.call("a", type=float)) is float


async def test_pending_calls_end_with_the_line() -> None:
    async with (
        scripted([{"session": {}}, {"expect": {"event": "a"}}, {"close": [4000, "enough"]}]) as server,
        line_to(server) as line,
    ):
        with pytest.raises(LineClosedError):
            await line.call("a")
        with pytest.raises(LineClosedError):
            line.send("a")
        with pytest.raises(LineClosedError):
            await line.flush()


async def test_plain_line_makes_room_as_it_writes() -> None:
    steps = [{"expect": {"event": "a", "payload": number}} for number in range(5)]
    async with scripted(steps) as server, line_to(server, exact=False, buffer=1) as line:
        async with asyncio.timeout(5):
            for number in range(5):
                await line.send_wait("a", number)
            await line.flush()
        assert (await server.report())["failures"] == []


async def test_closing_a_line_whose_server_reads_nothing_takes_ten_seconds_at_most() -> None:
    async with (
        scripted([{"session": {"ping": 10_000}}, {"silence_s": 30}]) as server,
        line_to(server, clock=Clock(50, draw=lambda: 0.0), buffer_bytes=1 << 30) as line,
    ):
        await line.ready
        for _ in range(40):  # more than two sockets hold
            line.send("a", "x" * 1_000_000)
        async with asyncio.timeout(5):
            await line.close()
        assert line.state == "closed"
