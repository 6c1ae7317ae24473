"""What is no Exception out of the application: it ends one session, and goes on to those who run the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from tests.support.eventually import eventually
from tests.support.shards.eager_tasks import eager_tasks
from tests.support.wire.raw_peer import RawPeer, head, masked
from wspulse import Connection, Frame, Request, Server
from wspulse.actors.runtime.runtime import ShardRuntime
from wspulse.actors.wire.frames import TEXT

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Outcome(BaseException):
    """As what pytest.fail() raises, and a panic of a Rust extension."""


def run(loop: str, main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main)


def raising(error: type[BaseException], is_async: bool) -> Callable[..., Any]:
    async def fail_later(*_: object) -> None:
        await asyncio.sleep(0)
        raise error

    def fail(*_: object) -> None:
        raise error

    return fail_later if is_async else fail


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
@pytest.mark.parametrize("error", [Outcome, SystemExit, asyncio.CancelledError])
def test_handler_that_raises_what_is_no_exception_ends_its_session_alone(
    loop: str, is_async: bool, error: type[BaseException]
) -> None:
    ends: list[tuple[str, type[BaseException]]] = []

    async def main() -> None:
        server = Server(lambda request: ("room", request.query["id"]))
        fail = raising(error, is_async)

        @server.on_message
        def handle(connection: Connection, frame: Frame) -> Any:
            return fail() if frame.event == "raise" else connection.send(frame)

        server.on_disconnect(lambda connection, error: ends.append((connection.id, type(error))))
        async with server.serve() as running:
            ada = await RawPeer.upgraded(running.port, "/ws?id=ada")
            bob = await RawPeer.upgraded(running.port, "/ws?id=bob")
            ada.writer.write(masked(TEXT, b'{"event":"raise"}'))
            assert await ada.close_code() == (1011, "internal error")
            await ada.close()
            await eventually(lambda: ends, "on_disconnect has run")
            async with await RawPeer.upgraded(running.port, "/ws?id=ada") as again:
                for peer in (again, bob):
                    peer.writer.write(masked(TEXT, b'{"event":"echo"}'))
                    await peer.expect("echo")
            await bob.close()
            await asyncio.wait_for(server.close(), 5)

    run(loop, main())
    assert ends[0] == ("ada", error)
    assert {name for name, _ in ends[1:]} == {"ada", "bob"}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
@pytest.mark.parametrize("where", ["connect", "check_origin", "on_connect", "on_message", "decode"])
def test_keyboard_interrupt_in_the_application_goes_on_to_who_runs_the_server(
    loop: str, is_async: bool, where: str
) -> None:
    ends: list[str] = []

    class Codec:
        binary = False

        def encode(self, _frame: Frame) -> bytes:
            return b""

        def decode(self, _data: bytes) -> Frame:
            if where == "decode":
                raise KeyboardInterrupt
            return Frame()

    async def main() -> None:
        fail = raising(KeyboardInterrupt, is_async)
        server = Server(
            fail if where == "connect" else lambda _request: ("room", "ada"),
            check_origin=fail if where == "check_origin" else None,
            on_connect=fail if where == "on_connect" else None,
            on_message=fail if where == "on_message" else lambda *_: None,
            on_disconnect=lambda *_: ends.append("session"),
            codec=Codec(),
        )
        async with server.serve() as running:
            peer = await RawPeer.dial(running.port)
            try:
                peer.writer.write(head("/ws") + masked(TEXT, b"{}"))
                await peer.rest()
                await asyncio.sleep(5)
                ends.append("nothing came")
            finally:
                await peer.close()

    with pytest.raises(KeyboardInterrupt):
        run(loop, main())
    assert ends == ([] if where in ("connect", "check_origin") else ["session"])


async def test_keyboard_interrupt_in_a_worker_stays_there() -> None:
    server = Server(lambda _request: ("room", "ada"))
    told: list[object] = []
    runtime = ShardRuntime(server, shard=0, workers=1, incarnation=1, path="/ws", tell_supervisor=told.append)
    runtime.shard.pass_on(KeyboardInterrupt())
    await asyncio.sleep(0)
    await runtime.stop()
    assert told == []


@pytest.mark.parametrize("loop", LOOPS)
def test_server_whose_loop_begins_tasks_at_once_serves_and_ends(loop: str) -> None:
    seen: list[str] = []

    async def connect(request: Request) -> tuple[str, str]:
        if request.query["id"] == "slow":
            await asyncio.sleep(0.01)
        return "room", request.query["id"]

    server = Server(connect)

    @server.on_start
    async def begin() -> None:
        asyncio.get_running_loop().set_task_factory(eager_tasks)

    @server.on_message
    async def echo(connection: Connection, frame: Frame) -> None:
        if frame.id == "2":
            await asyncio.sleep(0.01)
        await connection.send(frame)

    @server.on_disconnect
    async def end(connection: Connection, _error: BaseException | None) -> None:
        seen.append(connection.id)

    async def main() -> None:
        async with server.serve() as running:
            for name in ("swift", "slow"):
                async with await RawPeer.upgraded(running.port, f"/ws?id={name}") as peer:
                    for number in range(5):
                        peer.writer.write(masked(TEXT, b'{"event":"echo","id":"%d","payload":%d}' % (number, number)))
                    assert [await peer.expect("echo") for _ in range(5)] == list(range(5))
            shard = server._running().shard
            await eventually(lambda: len(seen) == 2, "both have ended")
            assert shard.working == {}
            peer = await RawPeer.upgraded(running.port, "/ws?id=last")
            closing = asyncio.create_task(server.close())
            assert await peer.close_code() == (1001, "server shutting down")
            await peer.close()
            await asyncio.wait_for(closing, 5)

    run(loop, main())
    assert seen == ["swift", "slow", "last"]
