"""Programs of a bridge on a real control socket, in front of workers that are only pretended: what they see of their credit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.control.control_stage import control_stage
from tests.support.control.dealers import Dealer, dealers
from tests.support.eventually import eventually
from wspulse.actors.mesh.link import ShardLink
from wspulse.actors.mesh.message import DESK_SHARD, BridgeFrame, BridgeNotice, BridgeQuestion


class Bridge:
    """One program, and the stream of the one worker that has its connections."""

    def __init__(self, program: Dealer, worker: ShardLink) -> None:
        self.program = program
        self.worker = worker
        self.number = 0

    async def attach(self, window: int) -> None:
        answer = await self.program.ask("attach", window=window, heartbeat=60)
        self.number = answer["result"]["program"]

    def connected(self, connection_id: str) -> None:
        self.worker.tell(BridgeNotice("connected", 0, connection_id, "room", None, self.number))

    def frame(self, connection_id: str, number: int) -> asyncio.Task[None]:
        """A client's frame on its way; done when it has gone out to the program."""
        frame = BridgeFrame(connection_id, "room", "said", "", b"%d" % number, "json")
        return asyncio.get_running_loop().create_task(self.worker.ask(frame, timeout_s=None))

    async def until_desk_has_all(self) -> None:
        """What the worker sent is with the desk when it has answered what was sent last."""
        await self.frame("nobody", 0)

    async def items(self) -> list[str]:
        """What the program was told by now: a request of its own comes back behind it."""
        await self.until_desk_has_all()
        number = self.program.request("ping")
        found = []
        while (message := await self.program.answer()).get("id") != number or "op" in message:
            if message["op"] != "ping":
                found.append(_line(message))
        return found


def _line(message: Any) -> str:
    args = message["args"]
    return " ".join([message["op"], args["connection"], *([str(args["frame"]["payload"])] if "frame" in args else [])])


@asynccontextmanager
async def bridge(folder: Path, window: int) -> AsyncIterator[Bridge]:
    """An attached program."""
    async with control_stage(folder, workers=1, app="bridge") as stage:
        with dealers() as peers:
            worker = ShardLink(DESK_SHARD, stage.plane.desk_path)
            worker.open()
            await eventually(lambda: worker.incarnation, "the desk is there")
            made = Bridge(peers.dial(stage.endpoint), worker)
            await made.attach(window)
            yield made
            worker.close()


async def test_program_gets_as_many_items_as_its_window_and_then_one_for_each_credit(tmp_path: Path) -> None:
    async with bridge(tmp_path, 3) as made:
        made.connected("ada")
        frames = [made.frame("ada", number) for number in range(6)]
        assert await made.items() == ["connected ada", "message ada 0", "message ada 1"]
        assert [frame.done() for frame in frames] == [True, True, False, False, False, False]
        made.program.socket.send(b'{"op":"credit","args":{"count":2}}')
        assert await made.items() == ["message ada 2", "message ada 3"]
        for frame in frames:
            frame.cancel()


async def test_credit_above_the_window_is_no_more_than_the_window(tmp_path: Path) -> None:
    """A program that gives back more than it had must not be sent more at once than it said that it takes."""
    async with bridge(tmp_path, 2) as made:
        assert (await made.program.ask("credit", count=100_000))["ok"]
        made.connected("ada")
        frames = [made.frame("ada", number) for number in range(6)]
        assert await made.items() == ["connected ada", "message ada 0"]
        for frame in frames:
            frame.cancel()


async def test_credit_below_one_and_windows_out_of_range_are_refused(tmp_path: Path) -> None:
    async with bridge(tmp_path, 2) as made:
        for op, args in (
            ("credit", {"count": 0}),
            ("credit", {"count": -1}),
            ("attach", {"window": 0}),
            ("attach", {"window": 100_001}),
            ("attach", {"heartbeat": 0.5}),
            ("attach", {"heartbeat": 301}),
        ):
            assert (await made.program.error(op, **args))[0] == "bad_request", (op, args)
        made.connected("ada")
        assert await made.items() == ["connected ada"], "it is still attached"


async def test_question_goes_to_the_program_and_its_answer_back(tmp_path: Path) -> None:
    async with bridge(tmp_path, 2) as made:
        asked = asyncio.create_task(made.worker.ask(BridgeQuestion("/ws", {"a": "1"}, {"host": "x"}, ("10.0.0.1", 5))))
        question = await made.program.answer()
        assert question["args"] == {
            "path": "/ws",
            "query": {"a": "1"},
            "headers": {"host": "x"},
            "remote": ["10.0.0.1", 5],
        }
        made.program.socket.send(b'{"id":%d,"ok":true,"result":{"room":"r","connection":"c"}}' % question["id"])
        assert await asked == {"room": "r", "connection": "c", "program": made.number}
