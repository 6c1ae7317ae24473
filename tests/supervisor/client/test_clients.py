"""`Control` and `AsyncControl` in front of a server that is the test: what both promise, held by both."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.control.pretended_control import PretendedControl, pretended_control
from tests.support.eventually import eventually
from wspulse import (
    AsyncControl,
    ConnectionClosedError,
    ConnectionNotFoundError,
    Control,
    ControlError,
    Frame,
    SendBufferFullError,
    ServerClosedError,
    ShardUnavailableError,
    WspulseError,
)

Call = asyncio.Task[Any]


class Client:
    """Either client, each call a task."""

    def __init__(self, kind: str, endpoint: str, timeout: float) -> None:
        self.client: Control | AsyncControl = (Control if kind == "blocking" else AsyncControl)(
            endpoint, timeout=timeout
        )

    def call(self, name: str, *args: Any) -> Call:
        method = getattr(self.client, name)
        if isinstance(self.client, Control):
            return asyncio.get_running_loop().create_task(asyncio.to_thread(method, *args))
        return asyncio.get_running_loop().create_task(method(*args))

    def close(self) -> None:
        self.client.close()


@pytest.fixture(params=["blocking", "asynchronous"])
def kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@asynccontextmanager
async def both(
    kind: str, folder: Path, *, away: bool = False, timeout: float = 10.0
) -> AsyncIterator[tuple[PretendedControl, Client]]:
    """A server and a client of it."""
    with pretended_control(folder, away=away) as server:
        client = Client(kind, server.endpoint, timeout)
        try:
            yield server, client
        finally:
            client.close()
    await asyncio.get_running_loop().shutdown_default_executor()


async def failed(call: Call) -> tuple[str, str]:
    """Code and text of the error that a call ends with."""
    with pytest.raises(ControlError) as error:
        await call
    return error.value.error_code, str(error.value)


@pytest.mark.parametrize(
    ("name", "args", "op", "sent"),
    [
        ("ping", (), "ping", {}),
        ("send", ("ada", Frame("e", 1, "7")), "send", {"connection": "ada", "frame": {"event": "e", "id": "7", "payload": 1}}),
        ("send", ("ada", {"payload": None}), "send", {"connection": "ada", "frame": {"payload": None}}),
        ("broadcast", ("den", Frame("e")), "broadcast", {"room": "den", "frame": {"event": "e", "id": ""}}),
        ("kick", ("ada",), "kick", {"connection": "ada"}),
        ("kick", ("ada", 4003, "banned"), "kick", {"connection": "ada", "code": 4003, "reason": "banned"}),
        ("connections", (), "connections", {}),
        ("connections", ("den",), "connections", {"room": "den"}),
        ("rooms", (), "rooms", {}),
        ("stats", (), "stats", {}),
        ("restart", (1,), "restart", {"shard": 1}),
        ("reload", (), "reload", {}),
        ("scale", (3,), "scale", {"workers": 3}),
        ("shutdown", (), "shutdown", {}),
    ],
)  # fmt: skip
async def test_call_is_one_request_and_its_refusal_an_error_with_the_servers_code(
    kind: str, name: str, args: tuple[Any, ...], op: str, sent: dict[str, Any], tmp_path: Path
) -> None:
    async with both(kind, tmp_path) as (server, client):
        call = client.call(name, *args)
        taken = await server.takes()
        assert (taken.op, taken.args, taken.encoding) == (op, sent, "msgpack")
        server.refuses(taken, "server_closed", "wspulse: the server is closed")
        assert await failed(call) == ("server_closed", "wspulse: the server is closed")
        assert not server.has_request


@pytest.mark.parametrize(
    ("name", "args", "code", "error"),
    [
        ("send", ("ada", {}), "connection_not_found", ConnectionNotFoundError),
        ("send", ("ada", {}), "send_buffer_full", SendBufferFullError),
        ("send", ("ada", {}), "connection_closed", ConnectionClosedError),
        ("send", ("ada", {}), "bad_request", ControlError),
        ("broadcast", ("den", {}), "shard_unavailable", ShardUnavailableError),
        ("kick", ("ada",), "connection_not_found", ConnectionNotFoundError),
        ("connections", (), "shard_unavailable", ShardUnavailableError),
        ("rooms", (), "server_closed", ServerClosedError),
        ("stats", (), "internal", ControlError),
        ("restart", (1,), "server_closed", ServerClosedError),
        ("reload", (), "server_closed", ServerClosedError),
        ("scale", (3,), "move_failed", ControlError),
    ],
)
async def test_refusal_is_the_servers_own_error_and_a_control_error(
    kind: str, name: str, args: tuple[Any, ...], code: str, error: type[WspulseError], tmp_path: Path
) -> None:
    async with both(kind, tmp_path) as (server, client):
        call = client.call(name, *args)
        server.refuses(await server.takes(), code, "wspulse: what the server says")
        with pytest.raises(error) as raised:
            await call
        assert isinstance(raised.value, ControlError)
        assert (raised.value.error_code, str(raised.value)) == (code, "wspulse: what the server says")
        if code.startswith("connection"):
            assert getattr(raised.value, "connection_id", None) == "ada"


@pytest.mark.parametrize(
    ("name", "args", "kind_of_id"),
    [
        ("send", (5, {}), "connection"),
        ("kick", (5,), "connection"),
        ("broadcast", (5, {}), "room"),
        ("connections", (5,), "room"),
    ],
)
async def test_id_that_is_no_string_is_refused_before_anybody_is_asked(
    kind: str, name: str, args: tuple[Any, ...], kind_of_id: str, tmp_path: Path
) -> None:
    async with both(kind, tmp_path) as (server, client):
        with pytest.raises(TypeError, match=f"wspulse: a {kind_of_id} id must be a str, not int: 5"):
            await client.call(name, *args)
        call = client.call("ping")
        assert (await server.takes()).op == "ping"
        call.cancel()


async def test_payload_that_is_raw_json_goes_in_json(kind: str, tmp_path: Path) -> None:
    async with both(kind, tmp_path) as (server, client):
        call = client.call("send", "ada", Frame("e", msgspec.Raw(b"[1.50]")))
        taken = await server.takes()
        assert (taken.encoding, taken.args["frame"]["payload"]) == ("json", [1.5])
        server.answers(taken)
        assert await call is None


async def test_results_have_their_types(kind: str, tmp_path: Path) -> None:
    async with both(kind, tmp_path) as (server, client):
        row: dict[str, Any] = {
            "id": "ada",
            "room": "den",
            "rooms": ("den", "hall"),
            "shard": 1,
            "state": "connected",
            "connected_at": 1.5,
            "queued": 3,
            "host": "berlin",
        }
        for name, told in (
            ("connections", [row | {"of a later version": True}]),
            ("rooms", [{"id": "den", "connections": 2}]),
            ("ping", {"version": "1", "events": "ipc://e", "workers": 4}),
        ):
            call = client.call(name)
            server.answers(await server.takes(), told)
            result = await call
            first = result[0] if isinstance(result, list) else result
            wanted = told[0] if isinstance(told, list) else told
            assert {field: getattr(first, field) for field in first.__struct_fields__}.items() <= dict(wanted).items()


@pytest.mark.parametrize("told", ["not what ping answers", {"version": 1}, None])
async def test_answer_that_cannot_be_read_is_an_error(kind: str, told: Any, tmp_path: Path) -> None:
    async with both(kind, tmp_path) as (server, client):
        call = client.call("ping")
        server.answers(await server.takes(), told)
        code, text = await failed(call)
        assert code == "internal"
        assert "the server's answer cannot be read" in text


async def test_answers_find_their_callers_in_any_order(kind: str, tmp_path: Path) -> None:
    async with both(kind, tmp_path) as (server, client):
        calls = {name: client.call("kick", name) for name in ("a", "b", "c")}
        taken = [await server.takes() for _ in calls]
        for each in reversed(taken):
            server.refuses(each, "connection_not_found", f"wspulse: no {each.args['connection']}")
        for name, call in calls.items():
            assert await failed(call) == ("connection_not_found", f"wspulse: no {name}")


async def test_answer_that_comes_too_late_meets_no_later_call(kind: str, tmp_path: Path) -> None:
    async with both(kind, tmp_path, timeout=0.2) as (server, client):
        call = client.call("rooms")
        late = await server.takes()
        assert await failed(call) == (
            "unavailable",
            f"wspulse: the server at {server.endpoint} did not answer within 0.2 s",
        )
        server.answers(late, [{"id": "of before", "connections": 1}])
        call = client.call("rooms")
        server.answers(await server.takes(), [])
        assert await call == []


async def test_request_to_a_server_that_is_away_is_never_sent_later(kind: str, tmp_path: Path) -> None:
    async with both(kind, tmp_path, away=True, timeout=0.1) as (server, client):
        assert await failed(client.call("shutdown")) == (
            "unavailable",
            f"wspulse: no server at {server.endpoint} within 0.1 s",
        )
        server.start()
        client.client.timeout = 10.0
        call = client.call("ping")
        taken = await server.takes()
        assert taken.op == "ping"
        server.answers(taken, {"version": "1", "events": "", "workers": 1})
        assert (await call).workers == 1


async def test_calls_that_gave_up_on_a_server_that_is_away_leave_nothing(tmp_path: Path) -> None:
    async with both("asynchronous", tmp_path, away=True, timeout=0.01) as (_, client):
        asynchronous = client.client
        assert isinstance(asynchronous, AsyncControl)
        cancelled = client.call("ping")
        for call in [client.call("ping") for _ in range(100)]:
            assert (await failed(call))[0] == "unavailable"
        cancelled.cancel()
        await asyncio.wait({cancelled})
        assert not asynchronous._unsent
        assert not asynchronous._waiting


async def test_end_of_the_server_is_seen_at_once_and_its_successor_is_found(kind: str, tmp_path: Path) -> None:
    async with both(kind, tmp_path) as (server, client):
        call = client.call("rooms")
        await server.takes()
        server.stop()
        assert await failed(call) == (
            "unavailable",
            f"wspulse: the server at {server.endpoint} went away before it answered",
        )
        server.start()
        call = client.call("rooms")
        server.answers(await server.takes(), [])
        assert await call == []


async def test_closed_client_refuses_every_call(kind: str, tmp_path: Path) -> None:
    async with both(kind, tmp_path) as (server, client):
        client.close()
        client.close()
        assert await failed(client.call("ping")) == ("unavailable", "wspulse: this control client is closed")
        assert not server.has_request


async def test_close_fails_the_calls_that_are_under_way(tmp_path: Path) -> None:
    async with both("asynchronous", tmp_path) as (server, client):
        call = client.call("ping")
        await server.takes()
        client.close()
        assert await failed(call) == ("unavailable", "wspulse: this control client is closed")


async def test_caller_that_is_cancelled_leaves_the_others_alone(tmp_path: Path) -> None:
    async with both("asynchronous", tmp_path) as (server, client):
        cancelled, other = client.call("kick", "a"), client.call("kick", "b")
        taken = [await server.takes() for _ in range(2)]
        cancelled.cancel()
        await asyncio.wait([cancelled])
        for each in taken:
            server.answers(each)
        assert await other is None


async def test_frames_that_are_none_are_refused_before_anything_is_sent(kind: str, tmp_path: Path) -> None:
    async with both(kind, tmp_path) as (server, client):
        wrong: tuple[tuple[Any, type[Exception], str], ...] = (
            ({"evnt": "e"}, ValueError, "a frame has no 'evnt'; its fields are event, payload, id"),
            ("hi", TypeError, "a frame must be a Frame or a mapping, not str"),
            (Frame("e", object()), TypeError, "unsupported"),
            (Frame("e", 2**70), OverflowError, "serialize ints"),
        )
        for frame, error, text in wrong:
            with pytest.raises(error, match=text):
                await client.call("send", "ada", frame)
        assert not server.has_request


async def test_calls_of_a_blocking_client_from_many_threads_share_few_sockets(tmp_path: Path) -> None:
    with pretended_control(tmp_path) as server:
        client = Control(server.endpoint)
        results: list[object] = []
        threads = [threading.Thread(target=lambda: results.append(client.rooms())) for _ in range(20)]
        for thread in threads:
            thread.start()
        for each in [await server.takes() for _ in threads]:
            server.answers(each, [])
        await eventually(lambda: len(results) == 20, "all are answered")
        for thread in threads:
            thread.join()
        identities = set()
        for _ in range(3):
            call = asyncio.get_running_loop().create_task(asyncio.to_thread(client.rooms))
            taken = await server.takes()
            identities.add(taken.identity)
            server.answers(taken, [])
            await call
        assert len(identities) == 1, "one that is idle is used again"
        client.close()
    await asyncio.get_running_loop().shutdown_default_executor()


def test_asynchronous_client_says_that_it_is_for_one_loop_and_can_be_closed_outside(tmp_path: Path) -> None:
    with pretended_control(tmp_path) as server:
        control = AsyncControl(server.endpoint)

        async def ask() -> None:
            call = asyncio.create_task(control.rooms())
            server.answers(await server.takes(), [])
            assert await call == []

        async def ask_again() -> None:
            with pytest.raises(RuntimeError, match="wspulse: an AsyncControl belongs to the event loop"):
                await control.rooms()
            with pytest.raises(RuntimeError, match="wspulse: an AsyncControl belongs to the event loop"):
                await anext(control.events())

        asyncio.run(ask())
        asyncio.run(ask_again())
        control.close()
        assert not server.has_request
