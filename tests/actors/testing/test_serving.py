"""`serve`: in this process and as processes, with async and without, and how it ends."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.actors.testing.test_client import make_server
from wspulse import Connection, EventRouter, Frame, MsgpackCodec, Request, Server, ServerClosedError
from wspulse.testing import serve

APP = """
import os
import sys
from wspulse import Server

server = Server(lambda request: (request.query.get("room", "lobby"), request.query.get("id", "")), max_message_size=4096)

@server.on_message
async def relay(connection, frame):
    if frame.event == "where":
        await connection.send(type(frame)("here", [os.getpid(), server.workers, os.environ.get("GREETING")]))
    else:
        await server.broadcast(connection.room_id, frame)
"""


@pytest.fixture
def app_folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


async def test_processes_serve_clients_of_several_workers(app_folder: Path) -> None:
    async with serve("shop:server", workers=2, cwd=app_folder, env={"GREETING": "hello"}) as running:
        clients = [await running.connect(name) for name in ("alice", "bob", "carol", "dave", "erin", "frank")]
        pids = set()
        for client in clients:
            await client.send("where")
            pid, workers, greeting = (await client.expect("here")).payload
            assert (workers, greeting) == (2, "hello")
            pids.add(pid)
        assert len(pids) == 2
        assert os.getpid() not in pids
        await clients[0].send("chat", 1)
        for client in clients:
            assert (await client.expect("chat")).payload == 1


def test_processes_serve_plain_tests_and_end_with_them(app_folder: Path) -> None:
    with serve("shop:server", cwd=app_folder, arguments=["--max-message-size", "64"], path="/chat") as running:
        client = running.connect("alice")
        client.send("chat", "x" * 64)
        assert client.closed().code == 1009
        pid = running.pid
        assert pid is not None
        assert running.url.endswith("/chat")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert "is stopping" in running.log


def test_application_is_found_where_the_test_run_finds_it(app_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(app_folder))
    with serve("shop:server") as running:
        running.connect()


def test_codec_of_processes_is_the_one_that_is_given() -> None:
    with serve("relay", arguments=["--codec", "msgpack"], codec=MsgpackCodec()) as running:
        client = running.connect()
        client.send("data", b"\xff")
        assert client.expect("data").payload == b"\xff"


def test_server_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise LookupError('no such luck')")
    problem = pytest.raises(RuntimeError, match=r"ended with code 1 before it was ready:\n(.|\n)*no such luck")
    with problem, serve("broken:server", cwd=tmp_path):
        pass


@pytest.mark.parametrize("options", [{"workers": 2}, {"arguments": ["--port", "1"]}, {"env": {"A": "b"}}, {"cwd": "/"}])
def test_server_object_is_refused_what_only_processes_have(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a Server object runs in this process"):
        serve(make_server(), **options)


def test_other_targets_are_refused() -> None:
    with pytest.raises(ValueError, match="7 is neither a Server nor"):
        serve(7)  # type: ignore[arg-type]


def test_server_object_serves_plain_tests() -> None:
    server = make_server(resume_window=30)
    with serve(server) as running:
        alice, bob = running.connect("alice", "x"), running.connect("bob", "x")
        alice.send("chat", "hi", id="7")
        assert bob.expect("chat", where=lambda frame: frame.payload == "hi").id == "7"
        assert alice.next().payload == "hi"
        running.run(server.send("bob", Frame("direct", 1)))
        bob.expect("direct")
        bob.drop()
        assert not bob.is_open
        assert bob.closed().code == 1006
        alice.send_raw('{"event":"chat","payload":2}')
        alice.expect("chat")
        bob.reconnect()
        assert bob.expect("chat").payload == 2
        alice.pause_reading()
        alice.resume_reading()
        alice.expect_nothing(within=0.01)
        assert alice.skip() == []
        assert [frame.event for frame in bob.received] == ["chat", "direct", "chat"]
        assert bob.subprotocol is None
        alice.close()
        assert running.clients == [alice, bob]
        assert (running.log, running.pid) == ("", None)


def test_failure_in_a_plain_test_shows_what_came_instead() -> None:
    with serve(make_server(), timeout=0.1) as running:
        client = running.connect()
        client.send("chat", "hi")
        with pytest.raises(
            AssertionError, match=r"'other' did not arrive within 0\.1 s; received instead: 'chat' 'hi'"
        ):
            client.expect("other")


async def test_same_server_is_served_again_after_its_block() -> None:
    server = make_server()
    for _ in range(2):
        async with serve(server) as running:
            client = await running.connect()
            await client.send("chat")
            await client.expect("chat")
    with pytest.raises(ServerClosedError):
        await server.broadcast("lobby", Frame("chat"))


async def test_entering_twice_is_refused() -> None:
    context = serve(make_server())
    async with context:
        with pytest.raises(RuntimeError, match="already running"):
            await context.__aenter__()
    with context, pytest.raises(RuntimeError, match="already running"):
        context.__enter__()


async def test_callbacks_have_run_when_the_block_is_left() -> None:
    ends: list[BaseException | None] = []
    server = make_server()
    server.on_disconnect(lambda connection, error: ends.append(error))
    async with serve(server) as running:
        await running.connect()
        await running.connect()
    assert ends == [None, None]


async def test_handler_that_does_not_end_is_cancelled_and_said() -> None:
    server = make_server()
    cancelled: list[str] = []
    stuck_now = asyncio.Event()

    @server.on_message
    async def stuck(connection: Connection, frame: Frame) -> None:
        stuck_now.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(frame.event)

    async def run() -> None:
        async with serve(server, timeout=0.2) as running:
            await (await running.connect()).send("chat")
            await stuck_now.wait()

    begin = time.monotonic()
    with pytest.raises(RuntimeError, match=r"a handler was still running 0\.2 s after the end of the block"):
        await run()
    assert cancelled == ["chat"]
    assert time.monotonic() - begin < 5


async def test_failed_start_leaves_nothing_running() -> None:
    server = make_server()

    @server.on_start
    async def broken() -> None:
        raise LookupError("no database")

    with pytest.raises(LookupError, match="no database"):
        async with serve(server):
            pass
    with pytest.raises(LookupError, match="no database"), serve(server):
        pass
    with pytest.raises(ValueError, match="connect: required"):
        async with serve(Server()):
            pass


def test_plain_asyncio_loop_serves_as_well() -> None:
    async def main() -> None:
        async with serve(make_server(resume_window=30)) as running:
            alice = await running.connect("alice")
            await alice.send("chat", "x" * 400)
            await alice.expect("chat")
            await alice.drop()
            await alice.reconnect()
            await alice.send("close")
            assert (await alice.closed()).code == 1000

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("outcome", ["fail", "skip"])
@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
def test_outcome_in_a_handler_ends_its_session_and_is_the_tests_when_the_block_is_left(
    outcome: str, is_async: bool
) -> None:
    server = Server(lambda _request: ("room", "ada"))
    ends: list[BaseException | None] = []
    decide: Any = getattr(pytest, outcome)

    def handle(_connection: Connection, _frame: Frame) -> None:
        decide("the handler says so")

    async def handle_later(connection: Connection, frame: Frame) -> None:
        handle(connection, frame)

    server.on_message(handle_later if is_async else handle)
    server.on_disconnect(lambda _connection, error: ends.append(error))
    begin = time.monotonic()
    with pytest.raises(decide.Exception, match="the handler says so") as raised:
        _send_and_see_1011(server)
    assert ends == [raised.value]
    assert time.monotonic() - begin < 3
    with serve(server):
        pass  # it was the other block's


async def test_outcome_in_a_handler_is_the_async_blocks_too_and_a_note_where_that_fails_itself() -> None:
    server = Server(lambda _request: ("room", "ada"))
    server.on_connect(lambda _connection: pytest.fail("the handler says no"))
    with pytest.raises(pytest.fail.Exception, match="the handler says no"):
        async with serve(server) as running:
            await (await running.connect()).close()

    async def fail_itself() -> None:
        async with serve(server) as running:
            await (await running.connect()).close()
            raise LookupError("the test's own")

    with pytest.raises(LookupError) as raised:
        await fail_itself()
    assert raised.value.__notes__ == [
        "wspulse: before that, a callback of the server raised Failed: the handler says no"
    ]


def test_keyboard_interrupt_in_a_handler_leaves_the_block_of_a_plain_test() -> None:
    server = Server(lambda _request: ("room", "ada"))

    @server.on_message
    async def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _send_and_see_1011(server)


def test_systemexit_in_a_handler_is_no_outcome() -> None:
    server = Server(lambda _request: ("room", "ada"))
    server.on_message(lambda *_: sys.exit(3))
    _send_and_see_1011(server)


def _send_and_see_1011(server: Server) -> None:
    with serve(server) as running:
        client = running.connect()
        client.send("chat")
        assert client.closed().code == 1011


async def test_line_of_the_client_talks_to_the_server_in_its_codec_with_query_and_headers() -> None:
    asked: list[tuple[str, str]] = []

    def connect(request: Request) -> tuple[str, str]:
        asked.append((request.query["place"], request.headers["x-from"]))
        return request.query["room"], request.query["id"]

    router = EventRouter()
    router.on("add")(lambda context, numbers: sum(numbers))
    server = Server(connect, codec=MsgpackCodec())
    server.on_message(router)
    async with (
        serve(server) as running,
        running.line("ada", "tea", query={"place": "1"}, headers={"x-from": "test"}) as line,
    ):
        assert await line.call("add", [1, 2]) == 3
        assert (line.id, line.exact) == ("ada", True)
        assert [each.id for each in await server.presence("tea")] == ["ada"]
    assert asked == [("1", "test")]
