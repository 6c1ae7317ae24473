"""The control server with operations that the test holds in its hand: every request is answered once, and how many may be
under way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import zmq

from tests.support.control.dealers import Dealer, Dealers, dealers
from tests.support.eventually import eventually
from wspulse.actors.values.errors import (
    BadRequestError,
    ConnectionClosedError,
    ConnectionNotFoundError,
    SendBufferFullError,
    ServerClosedError,
    ShardUnavailableError,
    WspulseError,
)
from wspulse.supervisor.control.operations import Operations
from wspulse.supervisor.control.route import PeerRoute
from wspulse.supervisor.control.server import ControlServer
from wspulse.supervisor.protocol.wire import ControlRequest

PEER_REQUESTS = 1024
ALL_REQUESTS = 16_384
ALL_BYTES = 256 * 1024 * 1024
"""doc/reference/control.md: what may be under way, of one peer and of all."""


class Words(msgspec.Struct, forbid_unknown_fields=True):
    word: str = ""


class PretendedOperations:
    """`echo` answers at once, `hold` when it is let go, `fail` with the error that the test puts there."""

    arguments = {"echo": Words, "hold": Words, "fail": Words}  # noqa: RUF012 - as Operations has it

    def __init__(self) -> None:
        self.held = 0
        self.go = asyncio.Event()
        self.error: Exception = RuntimeError()

    async def echo(self, args: Words, encoding: str) -> list[str]:
        return [args.word, encoding]

    async def hold(self, args: Words, _encoding: str) -> str:
        self.held += 1
        try:
            await self.go.wait()
        finally:
            self.held -= 1
        return args.word

    async def fail(self, _args: Words, _encoding: str) -> None:
        raise self.error


class Peers:
    """Operations about the peer itself, as the bridge has them: `greet` answers, `scold` raises."""

    def __init__(self) -> None:
        self.answers: list[tuple[Any, bytes]] = []

    def knows(self, op: str) -> bool:
        return op in ("greet", "scold")

    def take(self, route: PeerRoute, request: ControlRequest) -> str:
        if request.op == "scold":
            raise BadRequestError("args: no")
        return f"hello {len(route.envelope)}"

    def answered(self, _route: PeerRoute, request: ControlRequest) -> None:
        self.answers.append((request.id, bytes(request.args)))


class Stage:
    def __init__(self, made: Dealers, folder: Path, peers: Peers | None) -> None:
        self._dealers = made
        self.endpoint = f"ipc://{folder}/c"
        self.operations = PretendedOperations()
        router = made.context.socket(zmq.ROUTER)
        self.server = ControlServer(router, cast("Operations", self.operations))
        self.server.peer_operations = peers
        router.bind(self.endpoint)
        self.server.open()

    def dealer(self, kind: int = zmq.DEALER) -> Dealer:
        return self._dealers.dial(self.endpoint, kind=kind)

    async def holds(self, count: int) -> None:
        await eventually(lambda: self.operations.held == count, f"{count} requests are under way", 30)


@asynccontextmanager
async def serve(folder: Path, peers: Peers | None = None) -> AsyncIterator[Stage]:
    with dealers() as clients:
        stage = Stage(clients, folder, peers)
        yield stage
        await stage.server.close()


async def test_requests_are_answered_as_they_are_done_each_in_its_encoding(tmp_path: Path) -> None:
    async with serve(tmp_path) as stage:
        dealer = stage.dealer()
        slow = dealer.request("hold", word="slow")
        await stage.holds(1)
        assert await dealer.ask("echo", word="swift") == {"id": slow + 1, "ok": True, "result": ["swift", "json"]}
        dealer.socket.send(msgspec.msgpack.encode({"id": "a", "op": "echo"}))
        packed = msgspec.msgpack.decode((await dealer.parts())[-1])
        assert packed == {"id": "a", "ok": True, "result": ["", "msgpack"]}
        stage.operations.go.set()
        assert await dealer.answer() == {"id": slow, "ok": True, "result": "slow"}


async def test_req_socket_gets_its_answer_behind_its_delimiter(tmp_path: Path) -> None:
    async with serve(tmp_path) as stage:
        assert (await stage.dealer(zmq.REQ).ask("echo", word="x"))["result"] == ["x", "json"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadRequestError("why"), "bad_request"),
        (ConnectionNotFoundError("ada"), "connection_not_found"),
        (ConnectionClosedError("ada"), "connection_closed"),
        (SendBufferFullError("ada"), "send_buffer_full"),
        (ShardUnavailableError("why"), "shard_unavailable"),
        (ServerClosedError(), "server_closed"),
    ],
)
async def test_error_of_the_table_is_answered_with_its_code_and_text(
    error: WspulseError, code: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(tmp_path) as stage:
        stage.operations.error = error
        assert await stage.dealer().error("fail") == (code, str(error))
        assert not caplog.records


@pytest.mark.parametrize("error", [RuntimeError("a secret"), WspulseError("a secret")])
async def test_other_error_is_logged_and_nothing_of_it_is_told(
    error: Exception, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(tmp_path) as stage:
        stage.operations.error = error
        assert await stage.dealer().error("fail") == ("internal", "wspulse: internal error")
        (record,) = caplog.records
        assert (record.message, record.levelname) == ("a control request failed", "ERROR")
        assert record.__dict__["op"] == "fail"
        assert "a secret" in caplog.text


async def test_requests_that_fail_all_the_time_fill_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serve(tmp_path) as stage:
        dealer = stage.dealer()
        for _ in range(40):
            assert await dealer.error("fail") == ("internal", "wspulse: internal error")
    assert 1 <= len(caplog.records) <= 10  # five in each of the windows that this may touch


async def test_what_is_no_request_is_refused_and_an_op_that_nobody_knows_named_in_part(tmp_path: Path) -> None:
    async with serve(tmp_path) as stage:
        dealer = stage.dealer()
        dealer.socket.send(b'{"id": 1, "op"')
        unreadable = await dealer.answer()
        assert (unreadable["id"], unreadable["error"]["code"]) == (None, "bad_request")
        assert (await dealer.error("echo", wrd="x"))[0] == "bad_request"
        assert await dealer.error("x" * 500) == ("unknown_op", f"wspulse: unknown op: {'x' * 100}")
        assert (await dealer.error("greet"))[0] == "unknown_op", "there is no bridge"


async def test_1024_requests_of_one_peer_may_be_under_way_and_no_more(tmp_path: Path) -> None:
    async with serve(tmp_path) as stage:
        busy, other = stage.dealer(), stage.dealer()
        for _ in range(PEER_REQUESTS):
            busy.request("hold")
        await stage.holds(PEER_REQUESTS)
        assert await busy.error("echo") == (
            "shard_unavailable",
            "wspulse: shard unavailable: too many requests are outstanding",
        )
        assert (await other.ask("echo"))["ok"], "other peers have their own"
        stage.operations.go.set()
        answers = [await busy.answer() for _ in range(PEER_REQUESTS)]
        assert all(answer["ok"] for answer in answers)
        assert (await busy.ask("echo"))["ok"], "what was answered counts no more"


async def test_16384_requests_of_all_peers_may_be_under_way_and_no_more(tmp_path: Path) -> None:
    async with serve(tmp_path) as stage:
        for _ in range(ALL_REQUESTS // PEER_REQUESTS):
            busy = stage.dealer()
            for _ in range(PEER_REQUESTS):
                busy.request("hold")
        await stage.holds(ALL_REQUESTS)
        other = stage.dealer()
        assert (await other.error("echo"))[0] == "shard_unavailable"
        stage.operations.go.set()
        await stage.holds(0)
        assert (await other.ask("echo"))["ok"]


async def test_256_mib_of_requests_may_be_under_way_and_no_more(tmp_path: Path) -> None:
    async with serve(tmp_path) as stage:
        dealer = stage.dealer()
        large = b'{"id":1,"op":"hold","args":{}}' + b" " * (64 * 1024 * 1024 - 30)
        for count in range(1, ALL_BYTES // len(large) + 1):
            dealer.socket.send(large)
            await stage.holds(count)
        assert (await dealer.error("echo"))[0] == "shard_unavailable"
        stage.operations.go.set()
        for _ in range(ALL_BYTES // len(large)):
            assert (await dealer.answer())["ok"]
        assert (await dealer.ask("echo"))["ok"]


async def test_peer_that_left_with_requests_under_way_harms_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(tmp_path) as stage:
        leaving = stage.dealer()
        leaving.request("hold")
        await stage.holds(1)
        leaving.socket.close()
        stage.operations.go.set()
        await stage.holds(0)
        assert (await stage.dealer().ask("echo"))["ok"]
        assert not caplog.records


async def test_close_ends_what_is_under_way(tmp_path: Path) -> None:
    async with serve(tmp_path) as stage:
        dealer = stage.dealer()
        dealer.request("hold")
        await stage.holds(1)
        await stage.server.close()
        assert stage.operations.held == 0
        assert not dealer.socket.poll(0)


async def test_bridge_gets_its_own_requests_and_the_answers_of_its_programs(tmp_path: Path) -> None:
    peers = Peers()
    async with serve(tmp_path, peers) as stage:
        dealer = stage.dealer()
        assert (await dealer.ask("greet"))["result"] == "hello 0"
        assert await dealer.error("scold") == ("bad_request", str(BadRequestError("args: no")))
        dealer.socket.send(b'{"op":"greet"}')  # without an id: taken, and not answered
        dealer.socket.send(b'{"id":7,"ok":true,"result":{"room":"r"}}')
        assert (await dealer.ask("echo"))["ok"], "the next answer is that of the next request"
        assert peers.answers == [(7, b'{"room":"r"}')]


async def test_answer_to_a_question_that_nobody_asks_is_passed_over(tmp_path: Path) -> None:
    async with serve(tmp_path) as stage:
        dealer = stage.dealer()
        dealer.socket.send(b'{"id":7,"ok":true,"result":{}}')
        assert (await dealer.ask("echo"))["ok"]
