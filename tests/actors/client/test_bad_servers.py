"""What servers and networks do to a line: each has its event or error, none is a tight loop, none leaks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.actors.client.stage import HastyClock, Told, line_to, scripted
from wspulse.actors.client.clock import Clock
from wspulse.client import LineClosedError, MsgpackCodec, RawCodec, Retry, connect

HANGING: list[dict[str, Any]] = [{"session": {"recovered": True}}, {"gate": "never"}]

BACKOFF_S = [1.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0, 20.0]
"""With chance at its highest."""


async def test_server_that_accepts_and_closes_at_once_for_ever_is_dialled_ever_more_slowly() -> None:
    clock = HastyClock()
    async with (
        scripted(*[[{"session": {}}, {"close": [1011, "internal error"]}]] * 11) as server,
        line_to(server, clock=clock, retry=Retry(limit=10)) as line,
    ):
        assert await line.closed == (1011, "internal error")
    assert clock.paused_s == BACKOFF_S


async def test_server_that_is_away_for_ten_minutes_is_dialled_as_slowly_and_told_as_refused_once() -> None:
    clock = HastyClock()
    async with line_to(scripted(), clock=clock, retry=Retry(limit=40)) as line:
        told = Told(line)
        line.send("a", 1)
        await line.closed
        await told.until(lambda told: told.states[-1] == "closed")
        assert clock.paused_s[:3] == [1.0, 0.5, 20.0]  # nothing has ever worked: no hurry
        assert sum(clock.paused_s) > 600
        assert len(told.of("wspulse.refused")) == 1
        assert {news["code"] for news in told.of("wspulse.state")} == {1006}
        assert isinstance(told.of("wspulse.state")[0]["error"], OSError)


async def test_server_that_was_there_and_goes_away_is_dialled_within_twenty_seconds_each_time() -> None:
    clock = HastyClock()
    async with (
        scripted([{"session": {}}, {"reset": True}], *[[{"http": 502}]] * 10) as server,
        line_to(server, clock=clock, retry=Retry(limit=10)) as line,
    ):
        told = Told(line)
        await line.closed
        await told.until(lambda told: told.states[-1] == "closed")
        assert told.states == ["connected", *["reconnecting"] * 10, "closed"]
        assert told.of("wspulse.refused") == []
    assert clock.paused_s == BACKOFF_S


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_end_the_line_and_say_why(status: int) -> None:
    async with scripted([{"http": status}]) as server, line_to(server) as line:
        told = Told(line)
        with pytest.raises(LineClosedError, match=rf"refused with {status}: refused") as caught:
            await line.ready
        assert caught.value.status == status
        with pytest.raises(LineClosedError):
            async for _ in line:
                pass
        await told.until(lambda told: told.states == ["closed"])
        assert told.of("wspulse.refused") == [
            {"failures": 1, "status": status, "reason": f"refused with {status}: refused"}
        ]


@pytest.mark.parametrize("status", [200, 302, 404, 409, 429, 500, 503])
async def test_other_refusals_may_pass(status: int) -> None:
    async with scripted([{"http": status}], [{"session": {}}]) as server, line_to(server) as line:
        await line.ready


async def test_should_retry_decides_after_every_end_and_may_leave_it_to_the_line() -> None:
    asked = []

    def wanted(code: int, reason: str) -> bool | None:
        asked.append((code, reason))
        return {401: True, 1001: None}.get(code, False)

    async with (
        scripted(
            [{"http": 401}], [{"session": {}}, {"close": [1001, ""]}], [{"session": {}}, {"close": [1012, ""]}]
        ) as server,
        line_to(server, should_retry=wanted) as line,
    ):
        assert await line.closed == (1012, "")
    assert asked == [(401, "refused with 401: refused"), (1001, ""), (1012, "")]


async def test_should_retry_that_raises_is_told_and_leaves_it_to_the_line() -> None:
    def wanted(code: int, reason: str) -> bool | None:
        raise RuntimeError("broke")

    async with (
        scripted([{"session": {}}, {"close": [4001, ""]}]) as server,
        line_to(server, should_retry=wanted) as line,
    ):
        told = Told(line)
        await line.closed
        await told.until(lambda told: told.states[-1] == "closed")
        assert [news["kind"] for news in told.of("wspulse.error")] == ["handler"]


async def test_server_that_closes_in_the_opening_is_dialled_anew() -> None:
    async with scripted([{"accept": True}, {"close": [1013, "try again later; retry=5"]}], [{"session": {}}]) as server:
        clock = HastyClock()
        async with line_to(server, clock=clock) as line:
            await line.ready
        assert clock.paused_s == [0.005]


async def test_server_that_says_nonsense_instead_of_http_is_dialled_anew() -> None:
    async def talk_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n" * 3)
        writer.close()

    server = await asyncio.start_server(talk_nonsense, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}/", clock=HastyClock(), retry=Retry(limit=5)) as line:
            assert (await line.closed).code == 1006


async def test_message_that_is_too_big_ends_the_line_since_it_would_come_again() -> None:
    async with (
        scripted([{"session": {}}, {"send": "x" * 2000}, {"expect_close": None}]) as server,
        line_to(server, max_size=1000) as line,
    ):
        assert (await line.closed).code == 1009


async def test_nesting_without_end_and_half_an_emoji_harm_nothing() -> None:
    steps = [
        {"session": {}},
        {"send": '{"payload":' * 5000},
        {"send": '{"event":"a","payload":' + "[" * 9000 + "]" * 9000 + "}"},
    ]
    steps += [{"send": '{"event":"b","payload":"\\ud83d"}'}]
    async with scripted(steps) as server, line_to(server) as line:
        told = Told(line, "a", "b")
        await told.until(lambda told: told.of("b"))
        assert told.of("b") == ["�"]
        assert [news["kind"] for news in told.of("wspulse.error")] == ["frame", "frame"]


async def test_plain_line_whose_server_answers_no_pings_is_given_up_and_one_that_does_is_not() -> None:
    async with (
        scripted(
            [{"subprotocol": None}, {"accept": True}, {"silence_s": 2.0}], [{"subprotocol": None}, {"quiet_s": 1.0}]
        ) as server,
        # The time for the upgrade is not what is tried: of ten seconds only half a second would be left.
        line_to(server, clock=Clock(20, draw=lambda: 0.0), exact=False, open_timeout=200) as line,
    ):
        told = Told(line)
        await told.until(lambda told: told.states == ["connected", "reconnecting", "connected"])
        await server.report()
        assert told.states == ["connected", "reconnecting", "connected"]


async def test_line_on_which_nothing_comes_is_given_up_after_two_and_a_half_periods() -> None:
    slept_s: list[float] = []

    class WrittenClock(Clock):
        async def sleep(self, delay_s: float) -> None:
            slept_s.append(delay_s)
            await super().sleep(delay_s)

    async with (
        scripted([{"session": {"ping": 0.04}}, {"expect_close": None}]) as server,
        line_to(server, clock=WrittenClock(), retry=Retry(limit=0)) as line,
    ):
        assert (await line.closed).code == 1006
    assert 2.5 * 0.04 <= sum(slept_s) < 2.8 * 0.04


async def test_line_whose_handler_is_slow_is_not_given_up_for_what_it_does_not_read() -> None:
    may_go = asyncio.Event()
    steps: list[dict[str, Any]] = [{"session": {"ping": 0.1}}]
    steps += [{"send": {"event": "a", "payload": number}} for number in range(300)]
    async with scripted([*steps, {"expect": {"event": "b"}}]) as server, line_to(server) as line:

        @line.on("a")
        async def wait(number: int) -> None:
            await may_go.wait()
            if number == 299:
                line.send("b")

        await line.ready
        await asyncio.sleep(0.5)  # what the line does not do in that time is what is tried
        may_go.set()
        assert (await server.report())["failures"] == []
        assert line.state == "connected"


@pytest.mark.parametrize("codec", [MsgpackCodec(), RawCodec()], ids=["msgpack", "raw"])
async def test_server_of_another_codec_is_told_as_errors(codec: Any) -> None:
    """Of a msgpack client on a JSON server, no first frame can be read; a raw one reads anything."""
    async with (
        scripted(
            [{"send": {"event": "a"}}, {"expect_close": None}] if codec.binary else [{"send": {"event": "a"}}]
        ) as server,
        line_to(server, codec=codec, retry=Retry(limit=0) if codec.binary else Retry()) as line,
    ):
        if codec.binary:
            told = Told(line)
            assert (await line.closed).code == 1006
            await told.until(lambda told: told.states[-1] == "closed")
            assert [news["kind"] for news in told.of("wspulse.error")] == ["opening"]
        else:
            assert [frame.decode() async for frame in _one(line)] == ['{"event": "a"}']
            assert not line.exact


async def _one(line: Any) -> Any:
    async for frame in line:
        yield frame
        return


# What the program itself gets wrong.


@pytest.mark.parametrize("url", ["", "example.com", "ftp://example.com", "ws://", "ws:///path"])
def test_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match=r"^wspulse: connect: "):
        connect(url)


@pytest.mark.parametrize("options", [{"buffer": 0}, {"buffer": 1.5}, {"buffer_bytes": -1}])
def test_bound_that_is_none_is_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^wspulse: connect: buffer"):
        connect("ws://127.0.0.1:1", **options)


def test_argument_of_a_wrong_type_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match=r"^wspulse: connect: url must be"):
        connect(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^wspulse: connect: subprotocols"):
        connect("ws://127.0.0.1:1", subprotocols="chat")


async def test_option_that_nobody_knows_ends_the_line_and_is_raised_by_the_block() -> None:
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'colour'"):
        async with line_to(scripted(), colour="red") as line:
            await line.closed


async def test_function_that_gives_the_address_is_asked_each_time_and_may_raise() -> None:
    asked = 0
    async with scripted([{"session": {}}, {"reset": True}], [{"session": {"recovered": True}}]) as server:

        async def address() -> str:
            nonlocal asked
            asked += 1
            if asked in (1, 3):
                raise RuntimeError("no token to be had")
            return f"http://127.0.0.1:{server.port}/ws"

        async with connect(address, clock=HastyClock(draw=0.0)) as line:
            told = Told(line)
            await told.until(lambda told: told.states.count("connected") == 2)
            assert [(news["kind"], str(news["error"])) for news in told.of("wspulse.error")] == [
                ("url", "no token to be had")
            ] * 2
            assert told.states == ["connecting", "connected", "reconnecting", "reconnecting", "connected"]
    assert asked == 4


async def test_function_that_gives_no_address_is_told_as_one_that_raises() -> None:
    async with connect(lambda: None, clock=HastyClock(), retry=Retry(limit=1)) as line:  # type: ignore[arg-type, return-value]
        told = Told(line)
        await line.closed
        await told.until(lambda told: told.states[-1] == "closed")
        assert [news["kind"] for news in told.of("wspulse.error")] == ["url", "url"]


async def test_function_whose_own_wait_ends_or_is_cancelled_is_told_as_one_that_raises() -> None:
    def late() -> str:
        raise TimeoutError("no token in time")

    async def cancelled() -> str:
        task = asyncio.create_task(asyncio.sleep(60))
        task.cancel()
        await task
        return ""

    for address in (late, cancelled, lambda: "ftp://example.com"):
        async with connect(address, clock=HastyClock(), retry=Retry(limit=1)) as line:
            told = Told(line)
            assert (await line.closed).code == 1006
            await told.until(lambda told: told.states[-1] == "closed")
            assert [news["kind"] for news in told.of("wspulse.error")] == ["url", "url"]


async def test_network_that_times_out_by_itself_is_no_server_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def unreachable(*_: Any, **__: Any) -> Any:
        raise TimeoutError(110, "Connection timed out")

    monkeypatch.setattr("wspulse.actors.client.dial.open_websocket", unreachable)
    async with connect("ws://127.0.0.1:1", clock=HastyClock(), retry=Retry(limit=1)) as line:
        told = Told(line)
        assert "Connection timed out" in (await line.closed).reason
        await told.until(lambda told: told.states[-1] == "closed")
        assert told.of("wspulse.error") == []


async def test_function_that_never_gives_an_address_is_given_up_after_ten_seconds() -> None:
    async def address() -> str:
        await asyncio.Event().wait()
        return ""

    async with connect(address, clock=HastyClock(speed=500), retry=Retry(limit=1)) as line:
        assert (await line.closed).code == 1006
