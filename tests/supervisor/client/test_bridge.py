"""`Bridge` in front of a server that is the test: how a program says who may connect, and what it gives back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.control.pretended_control import PretendedControl, Taken, pretended_control
from wspulse import AsyncControl, BridgeRequest, ConnectRejected, ControlError
from wspulse.supervisor.client.bridge import Bridge, BridgeItem

Connect = Callable[[BridgeRequest], Any]


def admit(request: BridgeRequest) -> tuple[str, str]:
    return "den", request.query["id"]


class Attached:
    """A bridge, and the server's way to it."""

    def __init__(self, server: PretendedControl, bridge: Bridge, request: Taken) -> None:
        self.server = server
        self.bridge = bridge
        self.identity = request.identity

    def says(self, op: str, number: int | None = None, **args: Any) -> None:
        self.server.says(self.identity, {"op": op, "id": number, "args": args} if op != "ping" else {"op": op})

    async def asks(self, number: int, **query: str) -> dict[str, Any]:
        """Ask who somebody is. Returns the whole answer."""
        self.says("connect", number, path="/ws", query=query, headers={"host": "x"}, remote=["10.0.0.1", 5])
        return (await self.server.takes()).message

    async def item(self) -> BridgeItem:
        async with asyncio.timeout(5):
            return await anext(self.bridge)


async def attach(server: PretendedControl, number: int = 3) -> Taken:
    """Take a program's request to be attached, and grant it."""
    taken = await server.takes()
    assert taken.op == "attach", taken
    server.answers(taken, {"program": number})
    return taken


@asynccontextmanager
async def attached(folder: Path, connect: Connect = admit, **options: Any) -> AsyncIterator[Attached]:
    with pretended_control(folder) as server:
        async with AsyncControl(server.endpoint) as control:
            granting = asyncio.create_task(attach(server))
            async with control.attach(connect, **options) as bridge:
                yield Attached(server, bridge, await granting)
            while (await server.takes()).op != "detach":
                pass


async def test_program_asks_to_be_attached_with_its_window_and_its_heartbeat(tmp_path: Path) -> None:
    with pretended_control(tmp_path) as server:
        async with AsyncControl(server.endpoint) as control:
            attaching = asyncio.create_task(control.attach(admit, window=7, heartbeat=2.5).__aenter__())
            taken = await server.takes()
            assert (taken.op, taken.args) == ("attach", {"window": 7, "heartbeat": 2.5})
            assert not attaching.done()
            server.answers(taken, {"program": 1})
            (await attaching).close()


async def test_program_that_is_refused_learns_why(tmp_path: Path) -> None:
    with pretended_control(tmp_path) as server:
        async with AsyncControl(server.endpoint) as control:
            attaching = asyncio.create_task(control.attach(admit).__aenter__())
            server.refuses(await server.takes(), "unknown_op", "wspulse: unknown op: attach")
            with pytest.raises(ControlError, match="unknown op") as refused:
                await attaching
            assert refused.value.error_code == "unknown_op"


async def test_server_that_is_away_or_silent_is_an_error(tmp_path: Path) -> None:
    with pretended_control(tmp_path, away=True) as server:
        async with AsyncControl(server.endpoint, timeout=0.1) as control:
            with pytest.raises(ControlError, match=f"no server at {server.endpoint} within 0.1 s"):
                await control.attach(admit).__aenter__()


async def ask_elsewhere(request: BridgeRequest) -> tuple[str, str]:
    await asyncio.sleep(0)
    return admit(request)


def reject(request: BridgeRequest) -> tuple[str, str]:
    raise ConnectRejected("who are you?" if request.query else "")


def fail(_request: BridgeRequest) -> tuple[str, str]:
    raise LookupError("a secret")


@pytest.mark.parametrize("connect", [admit, ask_elsewhere])
async def test_who_may_connect_is_answered_with_room_and_id(connect: Connect, tmp_path: Path) -> None:
    async with attached(tmp_path, connect) as made:
        assert await made.asks(5, id="ada") == {"id": 5, "ok": True, "result": {"room": "den", "connection": "ada"}}


async def test_connect_sees_what_the_server_tells(tmp_path: Path) -> None:
    seen: list[BridgeRequest] = []

    def connect(request: BridgeRequest) -> tuple[str, str]:
        seen.append(request)
        return admit(request)

    async with attached(tmp_path, connect) as made:
        await made.asks(5, id="ada")
    assert seen == [BridgeRequest("/ws", {"id": "ada"}, {"host": "x"}, ("10.0.0.1", 5))]


async def test_who_may_not_connect_is_told_why_and_of_a_failure_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with attached(tmp_path, reject) as made:
        assert await made.asks(5, id="eve") == {"id": 5, "ok": False, "error": "who are you?"}
        assert await made.asks(6) == {"id": 6, "ok": False, "error": "refused"}
    assert not caplog.records
    async with attached(tmp_path, fail) as made:
        assert await made.asks(7) == {"id": 7, "ok": False, "error": "internal error"}
    assert "a secret" in caplog.text
    caplog.clear()
    async with attached(tmp_path, lambda _request: "no pair") as made:
        assert await made.asks(8) == {"id": 8, "ok": False, "error": "internal error"}


async def test_clients_that_make_connect_raise_all_the_time_fill_no_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with attached(tmp_path, fail) as made:
        for number in range(40):
            assert (await made.asks(number))["error"] == "internal error"
    lines = [record for record in caplog.records if record.message == "connect raised"]
    assert 1 <= len(lines) <= 10  # five in each of the windows that this may touch


async def test_slow_connect_holds_up_no_other(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def connect(request: BridgeRequest) -> tuple[str, str]:
        if request.query["id"] == "slow":
            await go.wait()
        return admit(request)

    async with attached(tmp_path, connect) as made:
        made.says("connect", 1, path="/ws", query={"id": "slow"}, headers={}, remote=None)
        assert (await made.asks(2, id="swift"))["id"] == 2
        go.set()
        assert (await made.server.takes()).id == 1


async def test_ping_is_answered_while_nobody_takes_items(tmp_path: Path) -> None:
    async with attached(tmp_path) as made:
        made.says("ping")
        assert (await made.server.takes()).op == "pong"


async def test_items_come_in_order_with_all_that_is_told_of_them(tmp_path: Path) -> None:
    async with attached(tmp_path) as made:
        made.says("connected", connection="ada", room="den", adopted=True)
        made.says("message", connection="ada", room="den", frame={"event": "e", "id": "7", "payload": {"n": 1}})
        made.says("message", connection="ada", room="den", frame={"event": "", "id": ""})
        made.says("dropped", connection="ada", room="den", error={"type": "T", "message": "m"})
        made.says("restored", connection="ada", room="den")
        made.says("disconnected", connection="ada", room="den", error=None)
        items = [await made.item() for _ in range(6)]
        assert [item.op for item in items] == [
            "connected",
            "message",
            "message",
            "dropped",
            "restored",
            "disconnected",
        ]
        assert {(item.connection, item.room) for item in items} == {("ada", "den")}
        assert [item.adopted for item in items] == [True] + [False] * 5
        frame = items[1].frame
        assert frame is not None
        assert (frame.event, frame.id, frame.payload) == ("e", "7", {"n": 1})
        assert (items[3].error, items[5].error) == ({"type": "T", "message": "m"}, None)


async def test_credit_is_given_back_for_items_that_were_taken_half_a_window_at_a_time(tmp_path: Path) -> None:
    async with attached(tmp_path, window=4) as made:
        for number in range(4):
            made.says("message", connection="ada", room="den", frame={"payload": number})
        made.says("ping")
        assert (await made.server.takes()).op == "pong", "nothing is given back for what nobody has taken"
        await made.item()
        await made.item()
        credit = await made.server.takes()
        assert (credit.op, credit.args, credit.id) == ("credit", {"count": 2}, None)
        await made.item()
        made.says("ping")
        assert (await made.server.takes()).op == "pong"
        await made.item()
        assert (await made.server.takes()).args == {"count": 2}


async def test_bridge_attaches_again_to_a_server_that_was_restarted_and_owes_nothing_of_before(tmp_path: Path) -> None:
    async with attached(tmp_path, window=2) as made:
        made.says("message", connection="ada", room="den", frame={"payload": 1})
        made.says("ping")
        assert (await made.server.takes()).op == "pong", "the item is there, and not taken"
        made.server.stop()
        made.server.start()
        made.identity = (await attach(made.server, 4)).identity
        made.says("message", connection="bob", room="den", frame={"payload": 2})
        made.says("ping")
        assert (await made.server.takes()).op == "pong", "it knows that it is attached"
        assert [(await made.item()).connection for _ in range(2)] == ["ada", "bob"]
        made.says("ping")
        credit = await made.server.takes()
        assert (credit.op, credit.args) == ("credit", {"count": 1}), "of the new window alone"
        assert (await made.server.takes()).op == "pong"


async def test_credit_that_was_gathered_for_a_server_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    async with attached(tmp_path, window=4) as made:
        made.says("message", connection="ada", room="den", frame={"payload": 1})
        await made.item()
        made.server.stop()
        made.server.start()
        made.identity = (await attach(made.server, 4)).identity
        made.says("message", connection="bob", room="den", frame={"payload": 2})
        await made.item()
        made.says("ping")
        assert (await made.server.takes()).op == "pong", "one item is less than half a window"


async def test_rubbish_of_the_server_is_logged_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with attached(tmp_path) as made:
        made.server.router.send_multipart([made.identity, b"\xc1"])
        made.says("connected", connection="ada", room="den")
        assert (await made.item()).connection == "ada"
    assert "the server sent a message that is not understood" in caplog.text


async def test_iteration_ends_when_the_bridge_is_closed(tmp_path: Path) -> None:
    with pretended_control(tmp_path) as server:
        async with AsyncControl(server.endpoint) as control:
            granting = asyncio.create_task(attach(server))
            bridge = await control.attach(admit).__aenter__()
            await granting
            taking = asyncio.create_task(anext(bridge, None))
            await asyncio.sleep(0)
            bridge.close()
            bridge.close()
            assert await taking is None


async def test_bridge_ends_with_the_client_that_made_it(tmp_path: Path) -> None:
    with pretended_control(tmp_path) as server:
        control = AsyncControl(server.endpoint)
        granting = asyncio.create_task(attach(server))
        bridge = await control.attach(admit).__aenter__()
        await granting
        taking = asyncio.create_task(anext(bridge, None))
        await asyncio.sleep(0)
        control.close()
        async with asyncio.timeout(5):
            assert await taking is None


async def test_bridge_that_is_not_attached_again_raises_why_behind_what_had_come(tmp_path: Path) -> None:
    with pretended_control(tmp_path) as server:
        async with AsyncControl(server.endpoint) as control:
            granting = asyncio.create_task(attach(server))
            bridge = await control.attach(admit).__aenter__()
            identity = (await granting).identity
            server.says(identity, {"op": "connected", "args": {"connection": "ada", "room": "den"}})
            server.says(identity, {"op": "ping"})
            assert (await server.takes()).op == "pong"
            server.stop()
            server.start()
            server.refuses(await server.takes(), "unknown_op", "wspulse: unknown op: attach")
            async with asyncio.timeout(5):
                assert (await anext(bridge)).connection == "ada"
                with pytest.raises(ControlError, match="unknown op: attach") as refused:
                    await anext(bridge)
                assert refused.value.error_code == "unknown_op"
                assert await anext(bridge, None) is None, "it has ended"


async def test_program_that_waits_no_longer_to_be_attached_is_gone(tmp_path: Path) -> None:
    with pretended_control(tmp_path) as server:
        async with AsyncControl(server.endpoint) as control:
            bridge = control.attach(admit)
            attaching = asyncio.create_task(bridge.__aenter__())
            await server.takes()
            attaching.cancel()
            with pytest.raises(asyncio.CancelledError):
                await attaching
            assert bridge._dealer is None


async def test_bridge_of_a_client_that_is_closed_is_never_attached(tmp_path: Path) -> None:
    with pretended_control(tmp_path) as server:
        control = AsyncControl(server.endpoint)
        made_before = control.attach(admit)
        control.close()
        for bridge in (made_before, control.attach(admit)):
            with pytest.raises(ControlError, match="closed"):
                await bridge.__aenter__()
            assert bridge._dealer is None
