"""What a program sees of a line: its frames, its calls, its end, and what it leaves behind."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from tests.actors.client.stage import Told, line_to, scripted
from tests.support.eventually import eventually
from wspulse.client import Frame, LineClosedError, ReplyError, connect

QUIET: list[dict[str, Any]] = [{"session": {}}]


def frames(event: str, *payloads: Any) -> list[dict[str, Any]]:
    return [{"send": {"event": event, "payload": payload}} for payload in payloads]


# What comes.


async def test_frames_without_a_handler_are_iterated_over_in_order_up_to_a_clean_end() -> None:
    steps = [{"session": {}}, *frames("a", 1, 2), *frames("b", 3), *frames("a", 4), {"close": [1000, "done"]}]
    async with scripted(steps) as server, line_to(server) as line:
        told = Told(line, "b")
        assert [frame.decode() async for frame in line] == [1, 2, 4]
        assert told.of("b") == [3]
        assert await line.closed == (1000, "done")


async def test_iteration_raises_where_the_line_was_ended_otherwise() -> None:
    async with scripted([{"session": {}}, *frames("a", 1), {"close": [4001, "no more"]}]) as server:
        async with line_to(server) as line:
            iterator = aiter(line)
            seen = [(await anext(iterator)).decode()]
            with pytest.raises(LineClosedError, match=r"^wspulse: the line is closed: 4001 no more$") as caught:
                await anext(iterator)
        assert seen == [1]
        assert (caught.value.close_code, caught.value.close_reason) == (4001, "no more")


async def test_handlers_added_at_the_top_of_the_block_miss_nothing() -> None:
    async with scripted([{"session": {}}, *frames("a", *range(20))]) as server, line_to(server) as line:
        told = Told(line, "a")
        await told.until(lambda told: len(told.of("a")) == 20)
        assert told.of("a") == list(range(20))
        assert told.states[0] == "connected"


async def test_handlers_take_as_much_as_they_name_and_the_payload_as_the_type_that_was_said() -> None:
    seen: list[Any] = []
    async with (
        scripted([{"session": {}}, {"send": {"event": "a", "payload": 5, "id": "7"}}]) as server,
        line_to(server) as line,
    ):
        line.on("a")(lambda: seen.append("nothing"))
        line.on("a")(lambda payload: seen.append((payload,)))
        line.on("a")(lambda payload, frame: seen.append((payload, frame.id)))
        line.on("a")(lambda payload, offset=100: seen.append(payload + offset))
        line.on("a", type=float)(lambda payload: seen.append(type(payload)))
        line.on("a")(seen.append)
        told = Told(line, "a")
        await told.until(lambda told: told.of("a"))
    assert seen == ["nothing", (5,), (5, "7"), 105, float, 5]


async def test_payload_of_another_type_is_told_and_harms_no_other_handler() -> None:
    async with scripted([{"session": {}}, *frames("a", "text")]) as server, line_to(server) as line:
        line.on("a", type=int)(lambda payload: pytest.fail("it is no int"))
        told = Told(line, "a")
        await told.until(lambda told: told.of("a"))
        assert [news["kind"] for news in told.of("wspulse.error")] == ["frame"]


async def test_handler_for_everything_gets_what_has_none() -> None:
    seen = []
    async with scripted([{"session": {}}, *frames("a", 1), *frames("b", 2)]) as server, line_to(server) as line:
        line.on("*")(lambda payload, frame: seen.append((frame.event, payload)))
        told = Told(line, "b")
        await told.until(lambda told: told.of("b"))
        assert seen == [("a", 1)]


async def test_handler_is_removed_once_and_only_if_it_is_there() -> None:
    async with scripted(QUIET) as server, line_to(server) as line:
        line.on("a")(print)
        line.off("a", print)
        with pytest.raises(ValueError, match=r"^wspulse: no such handler for 'a'$"):
            line.off("a", print)


@pytest.mark.parametrize(
    ("handler", "problem"),
    [
        (None, "must be callable, not NoneType"),
        (5, "must be callable, not int"),
        (lambda one, two, three: None, "is called with at most two arguments"),
        (lambda *, needed: None, "is called with at most two arguments"),
    ],
)
def test_what_cannot_be_called_with_a_frame_is_no_handler(handler: Any, problem: str) -> None:
    with pytest.raises(TypeError, match=f"^wspulse: a handler {problem}"):
        connect("ws://127.0.0.1:1").on("a")(handler)


async def test_frames_that_nobody_wants_do_not_stop_the_others() -> None:
    steps = [{"session": {"ack": [1000, 1 << 30]}}, *frames("unwanted", *range(2000)), *frames("a", 1)]
    async with scripted(steps) as server, line_to(server) as line:
        told = Told(line, "a")
        await told.until(lambda told: told.of("a"))


async def test_iteration_holds_up_what_comes_behind_and_a_loop_that_was_left_does_not() -> None:
    steps = [{"session": {"ack": [1, 1 << 30]}}, *frames("unwanted", *range(2000)), *frames("a", 1)]
    async with scripted(steps) as server, line_to(server) as line:
        told = Told(line, "a")
        async for frame in line:
            for _ in range(50):
                await asyncio.sleep(0)
            if frame.decode() == 300:
                break
        await told.until(lambda told: told.of("a"))


async def test_slow_handler_pauses_the_reading_and_loses_nothing() -> None:
    may_go = asyncio.Event()
    steps = [
        {"session": {"ack": [1, 1 << 30]}},
        *frames("a", *range(1000)),
        {"expect": {"event": "wspulse.ack", "payload": 1000}},
    ]
    async with scripted(steps) as server, line_to(server) as line:
        seen: list[int] = []

        @line.on("a")
        async def take(payload: int) -> None:
            await may_go.wait()
            seen.append(payload)

        await line.ready
        for _ in range(2000):
            await asyncio.sleep(0)
        assert line._carrier.session.received < 300
        may_go.set()
        assert (await server.report())["ok"]
        assert seen == list(range(1000))


async def test_handler_that_calls_gets_its_answer_from_behind_a_full_inbox() -> None:
    steps = [
        {"session": {}},
        *frames("a", *range(260)),
        {"expect": {"event": "add", "id": "$id"}},
        *frames("a", *range(260, 400)),
        {"send": {"event": "add", "id": "$id", "payload": 3}},
    ]
    async with scripted(steps) as server, line_to(server) as line:
        answers = []

        @line.on("a")
        async def ask(payload: int) -> None:
            if payload == 0:
                await eventually(lambda: not line._carrier.has_room(), "it stops reading first")
                answers.append(await line.call("add", [1, 2]))

        told = Told(line, "a")
        await told.until(lambda told: len(told.of("a")) == 400)
        assert answers == [3]


async def test_answer_is_sent_once_and_only_to_what_the_server_asks() -> None:
    steps = [
        {"session": {}},
        {"send": {"event": "a", "id": "another's", "payload": 1}},
        {"send": {"event": "a", "id": "wspulse:1", "payload": 2}},
        {"expect": {"event": "a", "id": "wspulse:1", "payload": "first"}},
        {"send": {"event": "no", "id": "wspulse:2"}},
        {"expect": {"event": "no.error", "id": "wspulse:2", "payload": {"why": "busy"}}},
        {"quiet_s": 0.05},
    ]
    async with scripted(steps) as server, line_to(server) as line:
        line.on("a")(lambda: "first")
        line.on("a")(lambda: "second")

        @line.on("no")
        def refuse() -> None:
            raise ReplyError({"why": "busy"})

        told = Told(line)
        assert await server.report() == {"ok": True, "failures": []}
        assert told.of("wspulse.error") == []


async def test_handler_whose_answer_cannot_be_sent_is_told() -> None:
    async with (
        scripted([{"session": {}}, {"send": {"event": "a", "id": "wspulse:1"}}]) as server,
        line_to(server) as line,
    ):
        line.on("a")(object)
        told = Told(line)
        await told.until(lambda told: told.of("wspulse.error"))


# Its end.


async def test_leaving_the_block_sends_what_waits_and_closes() -> None:
    async with scripted(
        [{"session": {}}, *[{"expect": {"event": "a", "payload": n}} for n in range(100)], {"expect_close": [1000]}]
    ) as server:
        async with line_to(server) as line:
            await line.ready
            for number in range(100):
                line.send("a", number)
        assert (await server.report())["ok"]
        assert line.state == "closed"


async def test_leaving_the_block_with_an_exception_is_quick_and_says_that_the_client_goes() -> None:
    async with scripted([{"session": {}}, *frames("a", 1), {"expect_close": [1001]}]) as server:
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            async with line_to(server) as line:
                told = Told(line)

                @line.on("a")
                async def hang() -> None:
                    await asyncio.Event().wait()

                await told.until(lambda told: told.states == ["connected"])
                raise ZeroDivisionError
        assert (await server.report())["ok"]


async def test_handler_may_close_the_line_and_goes_on() -> None:
    seen = []
    async with (
        scripted([{"session": {}}, *frames("a", 1, 2), {"expect_close": [4005]}]) as server,
        line_to(server) as line,
    ):

        @line.on("a")
        async def end(payload: int) -> None:
            await line.close(4005, "enough")
            seen.append(payload)

        assert await line.closed == (4005, "enough")
    assert seen == [1, 2]


async def test_what_was_taken_before_the_end_is_handled_after_it() -> None:
    seen = []
    async with scripted([{"session": {}}, *frames("a", *range(50)), {"close": [1000, ""]}]) as server:
        async with line_to(server) as line:

            @line.on("a")
            async def take(payload: int) -> None:
                await asyncio.sleep(0)
                seen.append(payload)

            await line.closed
        assert seen == list(range(50))


async def test_what_no_handler_may_raise_ends_the_line_and_is_raised_by_the_block() -> None:
    async with scripted([{"session": {}}, *frames("a", 1), {"expect_close": [1001]}]) as server:
        with pytest.raises(pytest.fail.Exception, match=r"^no good$"):  # noqa: PT012
            async with line_to(server) as line:
                line.on("a")(lambda: pytest.fail("no good"))
                await line.closed


async def test_cancelling_handler_ends_nothing() -> None:
    async with scripted([{"session": {}}, *frames("a", 1), *frames("b", 2)]) as server, line_to(server) as line:

        @line.on("a")
        async def cancelled() -> None:
            raise asyncio.CancelledError

        told = Told(line, "b")
        await told.until(lambda told: told.of("b"))
        assert [news["kind"] for news in told.of("wspulse.error")] == ["handler"]


async def test_line_is_entered_once() -> None:
    async with scripted(QUIET) as server, line_to(server) as line:
        await line.ready
        with pytest.raises(RuntimeError, match=r"^wspulse: a line can be entered only once$"):
            await line.__aenter__()


async def test_ready_and_closed_can_be_awaited_often_by_many_and_not_at_all() -> None:
    async with scripted([{"session": {}}, {"gate": "go"}, {"close": [1000, "x"]}]) as server, line_to(server) as line:
        line.ready  # noqa: B018
        line.closed  # noqa: B018
        await asyncio.gather(line._wait_ready(), line._wait_ready())
        server._gate("go").set()
        assert set(await asyncio.gather(line._wait_closed(), line._wait_closed())) == {(1000, "x")}
        with pytest.raises(LineClosedError):
            await line.ready


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [(999, "", ValueError), (1006, "", ValueError), (1000, "x" * 124, ValueError), ("1000", "", TypeError)],
)
async def test_close_that_cannot_be_sent_is_refused_and_ends_nothing(
    code: Any, reason: str, error: type[Exception]
) -> None:
    async with scripted(QUIET) as server, line_to(server) as line:
        await line.ready
        with pytest.raises(error):
            await line.close(code, reason)
        assert line.state == "connected"


async def test_line_logs_nothing_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "websockets")
    steps: list[list[Any]] = [
        [{"session": {}}, {"send": "no frame"}, {"reset": True}],
        [{"http": 500}],
        [{"session": {}}, {"close": [4000, ""]}],
    ]
    async with scripted(*steps) as server, line_to(server) as line:
        await line.closed
    assert [record for record in caplog.records if record.name != "asyncio"] == []


def test_frame_of_the_client_is_that_of_the_server() -> None:
    from wspulse import Frame as Ours

    assert Frame is Ours
