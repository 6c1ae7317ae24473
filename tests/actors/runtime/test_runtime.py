"""One shard inside the current process: the order of its start and its stop, what its end and its odd cases do."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.shards.shards import serve_shards
from wspulse import Frame, Request, Server
from wspulse.actors.accept.acceptor import Acceptor
from wspulse.actors.bus.zmq import ZmqBus
from wspulse.actors.mesh.lifecycle import Drain
from wspulse.actors.mesh.link import ShardLink
from wspulse.actors.mesh.mailbox import Mailbox
from wspulse.actors.mesh.message import BroadcastPayload
from wspulse.actors.runtime.extension import Extended, Extension
from wspulse.actors.runtime.loop_lag import LoopLag
from wspulse.actors.runtime.runtime import ShardRuntime
from wspulse.actors.sessions.shard import Shard


def identify(_: Request) -> tuple[str, str]:
    return "lobby", ""


class Noted(Extension):
    def __init__(self, log: list[str]) -> None:
        self.log = log

    def open(self, runtime: Extended) -> None:
        self.log.append("extensions open")

    def close(self) -> None:
        self.log.append("extensions close")


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is begun and ended, in order; of the links those to shard 0 count."""
    calls: list[str] = []

    def note(owner: type[Any], name: str, what: str, counts: Callable[[Any], bool] = lambda _: True) -> None:
        original = getattr(owner, name)

        def noted(self: Any, *arguments: Any, **named: Any) -> Any:
            if counts(self):
                calls.append(what)
            return original(self, *arguments, **named)

        monkeypatch.setattr(owner, name, noted)

    note(ZmqBus, "__init__", "bus open")
    note(ZmqBus, "stop", "bus stop")
    note(Mailbox, "open", "mailbox open")
    note(Mailbox, "close", "mailbox close")
    note(ShardLink, "open", "link open", lambda link: link.shard == 0)
    note(ShardLink, "close", "link close", lambda link: link.shard == 0)
    note(LoopLag, "stop", "lag stop")
    note(Shard, "abort", "sessions abort")
    note(Acceptor, "open", "acceptor open")
    note(Acceptor, "close", "acceptor close")
    return calls


async def test_shard_begins_with_its_bus_and_ends_with_it(log: list[str]) -> None:
    def make_server() -> Server:
        server = Server(identify)
        server._extend(Noted(log))
        for number in (1, 2):
            server.on_start(lambda number=number: log.append(f"on_start {number}"))
            server.on_stop(lambda number=number: log.append(f"on_stop {number}"))
        return server

    async with serve_shards(make_server, 2) as shards:
        await shards.stop_shard(1)
        log.clear()
        await shards.start_shard(1)
        assert log == [
            "bus open",
            "extensions open",
            "mailbox open",
            "link open",
            "on_start 1",
            "on_start 2",
            "acceptor open",
        ]
        replaced = shards.runtimes[1]
        await replaced.drain(server_closes=False)
        log.clear()
        await replaced.stop()
        assert log == [
            "acceptor close",
            "on_stop 2",
            "on_stop 1",
            "sessions abort",
            "extensions close",
            "lag stop",
            "link close",
            "mailbox close",
            "bus stop",
        ]


async def test_on_stop_is_left_out_where_on_start_raised_and_all_else_is_ended(log: list[str]) -> None:
    server = Server(identify)

    @server.on_start
    def fail() -> None:
        raise RuntimeError("no database")

    server.on_stop(lambda: log.append("on_stop"))
    with pytest.raises(RuntimeError, match="no database"):
        async with server.serve():
            pass
    assert "acceptor open" not in log
    assert "on_stop" not in log
    assert log[-2:] == ["sessions abort", "lag stop"]


async def test_newcomer_is_refused_and_not_kept_waiting_when_the_server_has_closed() -> None:
    server = Server(identify)
    async with server.serve() as running:
        await server.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((running.host, running.port), timeout=2)


async def test_message_that_no_shard_takes_is_logged_and_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(identify)
    async with server.serve():
        server._running().receive(Drain())
    assert [vars(record)["message_type"] for record in caplog.records if record.levelname == "ERROR"] == ["Drain"]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
async def test_order_from_outside_whose_frame_the_codec_cannot_bear_has_an_error_for_an_answer(
    error: type[BaseException],
) -> None:
    class Codec:
        binary = False

        def encode(self, _frame: Frame) -> bytes:
            raise error

        def decode(self, _data: bytes) -> Frame:
            return Frame()

    server = Server(identify, codec=Codec())
    runtime = ShardRuntime(server, shard=0, workers=1, incarnation=1, path="/ws")
    passed_on: list[BaseException] = []
    runtime.shard.outcome = passed_on.append
    await runtime.start()
    with pytest.raises(RuntimeError, match="the codec raised something that is not an Exception"):
        runtime.receive(BroadcastPayload("room", b"{}", "json"))
    assert [type(each) for each in passed_on] == [error]
    await runtime.stop()
