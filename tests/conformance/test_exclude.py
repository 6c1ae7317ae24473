"""contract §4: broadcasts that leave some connections out."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.support.contract.server import ContractServer


@pytest.mark.parametrize("how", ["broadcast", "broadcast_nowait", "broadcast_from_thread"])
async def test_broadcast_reaches_all_but_those_that_it_excludes(plain: ContractServer, how: str) -> None:
    room = uuid4().hex[:6]
    names = [plain.new_id("member", shard) for shard in range(plain.workers)] + [plain.new_id("member")]
    members = [await plain.client(name, room) for name in names]
    async with await plain.client(plain.new_id("says"), "aside") as speaker:
        for left_out in range(len(names)):
            exclude = [names[left_out], "nobody"]
            assert await speaker.order(how, room=room, payload=left_out, exclude=exclude) is None
        await speaker.order("broadcast", room=room, payload="all")
    for number, member in enumerate(members):
        heard = [await member.expect("said") for _ in names]
        assert heard == [other for other in range(len(names)) if other != number] + ["all"]
        await member.close()


async def test_broadcasts_to_all_and_to_some_keep_the_order_of_the_calls(plain: ContractServer) -> None:
    room = uuid4().hex[:6]
    names = [plain.new_id("member", shard) for shard in range(plain.workers)] + [plain.new_id("member")]
    members = [await plain.client(name, room) for name in names]
    async with await plain.client(plain.new_id("says"), "aside") as speaker:
        await speaker.order("broadcast_by_turns", room=room, count=60, exclude=names[:1])
    for number, member in enumerate(members):
        wanted = [[value] for value in range(60) if number or not value % 2]
        assert [await member.expect("numbered") for _ in wanted] == wanted
        await member.close()


async def test_suspended_member_gets_what_does_not_exclude_it_when_it_is_back(resuming: ContractServer) -> None:
    room = uuid4().hex[:6]
    name = resuming.new_id("away")
    await resuming.suspended(name, room)
    async with await resuming.client(resuming.new_id("says", 1), "aside") as speaker:
        await speaker.order("broadcast", room=room, payload=1, exclude=["another"])
        await speaker.order("broadcast", room=room, payload=2, exclude=[name])
        await speaker.order("broadcast", room=room, payload=3)
    async with await resuming.client(name, room) as member:
        assert [await member.expect("said") for _ in range(2)] == [1, 3]


@pytest.mark.parametrize("exclude", ["alice", "", [7], 7, 0, None, False, [None]])
async def test_exclude_that_is_not_a_list_of_ids_is_refused(plain: ContractServer, exclude: Any) -> None:
    room = uuid4().hex[:6]
    async with await plain.client(plain.new_id("member"), room) as member:
        for how in ("broadcast", "broadcast_nowait"):
            assert (await member.order(how, room=room, exclude=exclude))["error"] == "TypeError"


async def test_exclusion_of_nobody_and_of_unknown_ids_leaves_nobody_out(plain: ContractServer) -> None:
    room = uuid4().hex[:6]
    async with (
        await plain.client(plain.new_id("member"), room) as member,
        await plain.client(plain.new_id("says"), "aside") as speaker,
    ):
        for exclude in ([], ["nobody"], ["", "x" * 300], [f"unknown {number}" for number in range(15)]):
            await speaker.order("broadcast", room=room, payload=len(exclude), exclude=exclude)
        assert [await member.expect("said") for _ in range(4)] == [0, 1, 2, 15]
