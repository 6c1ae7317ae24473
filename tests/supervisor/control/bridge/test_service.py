"""The bridge service alone: programs are routes, and what is sent to them a list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from wspulse.actors.mesh.message import BridgeFrame, BridgeMark, BridgeNotice, BridgeQuestion, BridgeRest
from wspulse.actors.values.errors import BadRequestError
from wspulse.supervisor.control.bridge import service
from wspulse.supervisor.control.bridge.service import BridgeService
from wspulse.supervisor.control.route import PeerRoute
from wspulse.supervisor.control.socket import PeerGoneError
from wspulse.supervisor.protocol.wire import read_request

ONE, TWO = PeerRoute(b"\0one"), PeerRoute(b"\0two")


class Stage:
    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []
        self.gone: set[PeerRoute] = set()
        self.pinged = asyncio.Event()
        self.full: set[PeerRoute] = set()
        self.service = BridgeService(self._send, self.full.__contains__)

    def _send(self, route: PeerRoute, data: bytes) -> None:
        if route in self.gone:
            raise PeerGoneError
        message = msgspec.json.decode(data)
        if message["op"] == "ping":
            self.pinged.set()
        else:
            self.sent.append((route.identity[1:].decode(), message))

    def says(self, route: PeerRoute, op: str, **args: Any) -> Any:
        return self.service.take(route, read_request(msgspec.json.encode({"op": op, "args": args})))

    def answers(self, route: PeerRoute, number: int, result: Any) -> None:
        self.service.answered(route, read_request(msgspec.json.encode({"id": number, "ok": True, "result": result})))

    def notice(self, kind: str, connection_id: str, *, shard: int = 0, program: int = 0) -> None:
        self.service.receive(BridgeNotice(kind, shard, connection_id, "room", None, program))

    def frame(self, connection_id: str, payload: bytes) -> asyncio.Future[None]:
        future = self.service.receive(BridgeFrame(connection_id, "room", "", "", payload, "json"))
        assert isinstance(future, asyncio.Future)
        return future

    def told(self) -> list[str]:
        """What was sent since the last look: program, op, connection, and adopted or payload."""
        found, self.sent = self.sent, []
        lines = []
        for name, message in found:
            args = message["args"]
            more = "adopted" if args.get("adopted") else str(args["frame"]["payload"]) if "frame" in args else ""
            lines.append(f"{name} {message['op']} {args.get('connection', '?')} {more}".strip())
        return lines


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    yield made
    made.service.close()


async def test_window_holds_back_and_credit_lets_go() -> None:
    async with stage() as made:
        made.says(ONE, "attach", window=2)
        made.notice("connected", "a")
        frames = [made.frame("a", b"%d" % number) for number in range(3)]
        assert made.told() == ["one connected a", "one message a 0"]
        assert [frame.done() for frame in frames] == [True, False, False]
        made.says(ONE, "credit", count=1)
        assert made.told() == ["one message a 1"]
        made.says(ONE, "credit", count=100)
        made.notice("disconnected", "a")
        assert made.told() == ["one message a 2", "one disconnected a"]


async def test_connections_of_a_program_that_goes_are_adopted_in_order() -> None:
    async with stage() as made:
        made.says(ONE, "attach", window=1)
        made.notice("connected", "a")
        made.frame("a", b"1")
        made.notice("connected", "b")
        made.frame("b", b"2")
        assert made.told() == ["one connected a"]
        made.says(TWO, "attach", window=100)
        made.says(ONE, "detach")
        assert made.told() == ["two connected a adopted", "two message a 1", "two connected b", "two message b 2"]


async def test_connections_wait_while_nobody_is_attached() -> None:
    async with stage() as made:
        made.says(ONE, "attach")
        made.notice("connected", "a")
        made.notice("connected", "gone")
        made.told()
        made.gone.add(ONE)
        waiting = made.frame("a", b"1")
        made.notice("disconnected", "gone")
        assert not waiting.done()
        made.says(TWO, "attach")
        assert made.told() == [], "it is to have its answer first"
        await waiting
        assert made.told() == [
            "two connected a adopted",
            "two connected gone adopted",
            "two message a 1",
            "two disconnected gone",
        ]


async def test_open_questions_are_asked_again_elsewhere() -> None:
    async with stage() as made:
        made.says(ONE, "attach")
        made.says(TWO, "attach")
        answer = made.service.receive(BridgeQuestion("/ws", {}, {}, None))
        ((first, question),) = made.sent
        other = TWO if first == "one" else ONE
        made.says(ONE if other is TWO else TWO, "detach")
        made.answers(ONE if other is TWO else TWO, question["id"], {"room": "r", "connection": "late"})
        assert not answer.done()
        made.answers(other, question["id"], {"room": "r", "connection": "c"})
        assert answer.result()["connection"] == "c"


async def test_question_without_a_program_is_refused_at_once() -> None:
    async with stage() as made:
        answer = made.service.receive(BridgeQuestion("/ws", {}, {}, None))
        assert answer.result() == {"status": 503, "text": "no program is attached"}


async def test_question_is_refused_when_its_deadline_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "QUESTION_TIMEOUT_S", 0.0)
    monkeypatch.setattr(service, "TICK_S", 3600.0)
    async with stage() as made:
        made.says(ONE, "attach")
        answer = made.service.receive(BridgeQuestion("/ws", {}, {}, None))
        assert await answer == {"status": 503, "text": "the program did not answer in time"}


async def test_question_of_a_worker_that_waits_no_longer_is_settled_all_the_same() -> None:
    async with stage() as made:
        made.says(ONE, "attach")
        made.service.receive(BridgeQuestion("/ws", {"who": "first"}, {}, None)).cancel()
        answer = made.service.receive(BridgeQuestion("/ws", {"who": "second"}, {}, None))
        first, second = (message for _, message in made.sent)
        assert [first["args"]["query"], second["args"]["query"]] == [{"who": "first"}, {"who": "second"}]
        made.answers(ONE, first["id"], {"room": "r", "connection": "a"})
        made.answers(ONE, second["id"], {"room": "r", "connection": "b"})
        assert answer.result()["connection"] == "b"


async def test_program_that_does_not_read_is_told_the_rest_when_it_reads_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "TICK_S", 3600.0)
    async with stage() as made:
        made.says(ONE, "attach")
        made.full.add(ONE)
        made.notice("connected", "a")
        frame = made.frame("a", b"1")
        assert made.told() == []
        made.full.clear()
        await frame
        assert made.told() == ["one connected a", "one message a 1"]


async def test_no_timer_is_left_of_what_is_open_when_it_closes() -> None:
    async with stage() as made:
        made.says(ONE, "attach")
        made.service.receive(BridgeQuestion("/ws", {}, {}, None))
        made.full.add(ONE)
        made.notice("connected", "a")


async def test_no_timer_is_left_of_what_has_ended() -> None:
    async with stage() as made:
        made.says(ONE, "attach")
        answer = made.service.receive(BridgeQuestion("/ws", {}, {}, None))
        made.full.add(ONE)
        made.notice("connected", "a")
        made.says(ONE, "detach")
        assert answer.done()


async def test_silent_program_is_gone_after_its_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "TICK_S", 0.0)
    now = 1000.0
    monkeypatch.setattr(service, "monotonic", lambda: now)
    async with stage() as made:
        made.says(ONE, "attach", heartbeat=5)
        answer = made.service.receive(BridgeQuestion("/ws", {}, {}, None))
        now += 5
        await asyncio.wait_for(made.pinged.wait(), 5)
        assert not answer.done()
        now += 0.1
        assert await answer == {"status": 503, "text": "no program is attached"}
        with pytest.raises(BadRequestError):
            made.says(ONE, "pong")


async def test_frame_of_a_connection_that_nobody_knows_is_not_waited_for() -> None:
    async with stage() as made:
        assert made.service.receive(BridgeFrame("a", "room", "", "", b"1", "json")) is None


async def test_shard_that_goes_down_ends_its_connections() -> None:
    async with stage() as made:
        made.says(ONE, "attach")
        made.notice("connected", "a", shard=0)
        made.notice("connected", "b", shard=1)
        made.service.shard_down(0)
        assert made.told() == ["one connected a", "one connected b", "one disconnected a"]


async def test_wrong_requests_are_refused() -> None:
    async with stage() as made:
        for op, args in (
            ("credit", {"count": 1}),
            ("detach", {}),
            ("attach", {"window": 0}),
            ("attach", {"heartbeat": 0}),
        ):
            with pytest.raises(BadRequestError):
                made.says(ONE, op, **args)
        assert made.told() == []


async def test_frame_of_a_connection_that_nobody_knows_leaves_nothing() -> None:
    async with stage() as made:
        assert made.service.receive(BridgeFrame("nobody", "room", "", "", b"1", "json")) is None
        assert made.service._waiting == {}


async def test_delivery_that_cannot_be_made_up_stops_no_other_program(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_for_1(frame: BridgeFrame, encoding: str) -> dict[str, Any]:
        if frame.payload == b"1":
            raise LookupError("planted")
        return {"payload": int(frame.payload)}

    monkeypatch.setattr(service, "frame_fields", fail_for_1)
    async with stage() as made:
        made.says(ONE, "attach")
        made.notice("connected", "a")
        made.says(TWO, "attach")
        made.notice("connected", "b")
        made.told()
        with pytest.raises(LookupError):
            made.frame("a", b"1")
        made.frame("b", b"2")
        assert made.told() == ["two message b 2"]


async def test_peer_that_names_itself_is_no_program_since_another_may_have_its_name() -> None:
    async with stage() as made:
        with pytest.raises(BadRequestError, match="attach: a program must not set ZMQ_ROUTING_ID"):
            made.says(PeerRoute(b"bot", connection=20), "attach")
        asking = made.service.receive(BridgeQuestion("/ws", {}, {}, None))
        assert (await asking)["status"] == 503
        assert not made.sent


async def test_worker_waits_for_what_was_left_with_the_desk_and_for_nothing_else() -> None:
    async with stage() as made:
        made.says(ONE, "attach", window=1)
        made.notice("connected", "a")
        assert made.service.receive(BridgeMark()) is None
        assert made.service.receive(BridgeRest("a")) is None
        made.frame("a", b"1")
        waiting = made.service.receive(BridgeRest("a"))
        assert isinstance(waiting, asyncio.Future)
        made.says(ONE, "credit", count=1)
        assert await waiting is None
        assert made.service._waiting == {}
