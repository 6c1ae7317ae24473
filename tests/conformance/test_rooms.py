"""contract §4: rooms that a connection joins and leaves beside its first one."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from websockets.exceptions import InvalidStatus

from tests.support.contract.server import ContractServer


def fresh(name: str) -> str:
    return f"{name}-{uuid4().hex[:6]}"


async def say_from_everywhere(server: ContractServer, room: str) -> list[str]:
    """A broadcast by each worker; returns what they say."""
    words = []
    for shard in range(server.workers):
        async with await server.client(server.new_id("say", shard), fresh("aside")) as speaker:
            words.append(f"from {shard}")
            await speaker.order("broadcast", room=room, payload=words[-1])
    return words


async def test_broadcast_issued_anywhere_after_a_join_reaches_the_member(plain: ContractServer) -> None:
    for shard in range(plain.workers):
        first, second = fresh("first"), fresh("second")
        async with await plain.client(plain.new_id("member", shard), first) as member:
            assert await member.order("join", to=second) == [first, second]
            words = await say_from_everywhere(plain, second)
            heard = [await member.expect("said") for _ in words]
            assert sorted(heard) == sorted(words)
            await member.order("broadcast", room=first, payload="first")
            assert await member.order("rooms_of") == [first, second]


async def test_nothing_comes_that_is_issued_after_a_leave(plain: ContractServer) -> None:
    for shard in range(plain.workers):
        first, second = fresh("first"), fresh("second")
        async with (
            await plain.client(plain.new_id("member", shard), first) as member,
            await plain.client(plain.new_id("stays", shard + 1), second) as other,
            await plain.client(plain.new_id("says", shard), fresh("aside")) as speaker,
        ):
            await member.order("join", to=second)
            assert await member.order("leave", to=second) == [first]
            await speaker.order("broadcast", room=second, payload="after")
            assert await other.expect("said") == "after"
            await speaker.order("broadcast", room=first, payload="marker")
            assert await member.expect("said") == "marker"


async def test_join_and_leave_by_another_worker_are_as_its_own(plain: ContractServer) -> None:
    first, second = fresh("first"), fresh("second")
    name = plain.new_id("member", 0)
    async with (
        await plain.client(name, first) as member,
        await plain.client(plain.new_id("asks", 1), first) as other,
    ):
        await other.order("join", to=second, id=name, room=first)
        assert await other.order("rooms_of", id=name, room=second) == [first, second]
        await other.order("broadcast", room=second, payload="here")
        assert await member.expect("said") == "here"
        await other.order("leave", to=second, id=name, room=first)
        assert await other.order("list_room", room=second) == []
        refused = await other.order("leave", to=first, id=name, room=first)
        assert refused["error"] == "ValueError"
        assert await other.order("rooms_of", id=name, room=first) == [first]


async def test_room_lists_those_that_joined_it(plain: ContractServer) -> None:
    first, second = fresh("first"), fresh("second")
    names = [plain.new_id("member", shard) for shard in range(plain.workers)]
    members = [await plain.client(name, first) for name in names]
    for member in members:
        await member.order("join", to=second)
    assert await members[0].order("list_room", room=second) == sorted(names)
    for member in members:
        await member.close()


async def test_rooms_are_kept_through_suspension_and_what_is_said_meanwhile_is_replayed(
    resuming: ContractServer,
) -> None:
    for shard in range(resuming.workers):
        first, second = fresh("first"), fresh("second")
        name = resuming.new_id("member", shard)
        member = await resuming.client(name, first)
        await member.order("join", to=second)
        await resuming.drop(member, name)
        words = await say_from_everywhere(resuming, second)
        async with await resuming.client(name, "another") as again:
            assert sorted([await again.expect("said") for _ in words]) == sorted(words)
            assert await again.order("rooms_of") == [first, second]
            words = await say_from_everywhere(resuming, second)
            assert sorted([await again.expect("said") for _ in words]) == sorted(words)


async def test_suspended_session_joins_and_hears_the_room_when_it_is_back(resuming: ContractServer) -> None:
    first, second = fresh("first"), fresh("second")
    name = resuming.new_id("member", 0)
    await resuming.suspended(name, first)
    async with await resuming.client(resuming.new_id("asks", 1), first) as other:
        await other.order("join", to=second, id=name, room=first)
        await other.order("broadcast", room=second, payload="meanwhile")
    async with await resuming.client(name, first) as again:
        assert await again.expect("said") == "meanwhile"


async def test_two_joins_of_one_room_at_once_are_one(plain: ContractServer) -> None:
    first, second = fresh("first"), fresh("second")
    async with (
        await plain.client(plain.new_id("member"), first) as member,
        await plain.client(plain.new_id("says"), fresh("aside")) as speaker,
    ):
        for _ in range(3):
            await member.order_only("join", to=second, in_background=True)
        for _ in range(3):
            assert await member.expect("done") == [first, second]
        await speaker.order("broadcast", room=second, payload="once")
        assert await member.expect("said") == "once"
        assert await member.order("rooms_of") == [first, second]


@pytest.mark.parametrize(
    ("op", "to", "error"),
    [
        ("join", 7, "TypeError"),
        ("join", None, "TypeError"),
        ("join", "x" * 257, "ValueError"),
        ("leave", 7, "TypeError"),
        ("leave", "the first", "ValueError"),
    ],
)
async def test_join_or_leave_of_an_invalid_room_raises(plain: ContractServer, op: str, to: Any, error: str) -> None:
    async with await plain.client(plain.new_id("member"), "the first") as member:
        answer = await member.order(op, to=to)
        assert (answer["error"], answer["text"][:9]) == (error, "wspulse: ")
        assert await member.order("rooms_of") == ["the first"]


async def test_leave_of_a_room_that_it_is_not_in_and_join_of_the_first_are_nothing(plain: ContractServer) -> None:
    async with await plain.client(plain.new_id("member"), "first") as member:
        assert await member.order("leave", to=fresh("nowhere")) == ["first"]
        assert await member.order("join", to="first") == ["first"]
        assert await member.order("join", to="") == ["first", ""]


async def test_128_rooms_can_be_joined_and_no_129th(plain: ContractServer) -> None:
    async with await plain.client(plain.new_id("member"), fresh("first")) as member:
        assert await member.order("join_many", count=128, prefix=fresh("many")) == 129
        answer = await member.order("join", to=fresh("one more"))
        assert answer["error"] == "ValueError"
        assert len(await member.order("rooms_of")) == 129


async def test_join_of_a_connection_that_has_ended_raises_and_leave_does_nothing(plain: ContractServer) -> None:
    for shard in range(plain.workers):
        first = fresh("first")
        name = plain.new_id("gone", shard)
        async with (
            await plain.client(name, first),
            await plain.client(plain.new_id("asks", 0), first) as other,
        ):
            answer = await other.order("join_when_closed", room=first, id=name, to=fresh("second"))
            assert answer == ["ConnectionClosedError"]


async def test_member_of_many_rooms_leaves_all_of_them_when_it_ends(plain: ContractServer) -> None:
    first, second = fresh("first"), fresh("second")
    name = plain.new_id("member", 0)
    async with await plain.client(plain.new_id("asks", 1), first) as other:
        async with await plain.client(name, first) as member:
            await member.order("join", to=second)
            assert await other.order("list_room", room=second) == [name]
        assert (await plain.notes.ended(name))["detail"] == [first, second], "on_disconnect knows which rooms to tell"
        assert await other.order("list_room", room=second) == []


async def test_slow_member_of_a_further_room_loses_the_oldest_and_keeps_its_socket(plain: ContractServer) -> None:
    first, second = fresh("first"), fresh("second")
    async with (
        await plain.client(plain.new_id("slow", 0), first) as slow,
        await plain.client(plain.new_id("says", 1), fresh("aside")) as other,
    ):
        await slow.order("join", to=second)
        slow.socket.transport.pause_reading()
        await other.order("broadcast_many", room=second, count=6000, size=4000, pause_every=50)
        slow.socket.transport.resume_reading()
        last = -1
        async with asyncio.timeout(20):
            while last != 5999:
                number, _ = await slow.expect("numbered")
                assert number > last
                last = number


async def test_rooms_of_accept_are_joined_when_the_client_sees_the_101(plain: ContractServer) -> None:
    for _ in range(8):
        first, second, third = fresh("first"), fresh("second"), fresh("third")
        async with (
            await plain.client(plain.new_id("says"), fresh("aside")) as speaker,
            await plain.client(plain.new_id("member"), first, rooms=f"{second},{third},{first},{second}") as member,
        ):
            await asyncio.gather(
                *(speaker.order_only("broadcast", room=room, payload=room) for room in (first, second, third))
            )
            assert sorted([await member.expect("said") for _ in range(3)]) == [first, second, third]
            assert await member.order("rooms_of") == [first, second, third]


async def test_resumed_session_keeps_its_rooms_whatever_accept_says_then(resuming: ContractServer) -> None:
    first, second, third = fresh("first"), fresh("second"), fresh("third")
    name = resuming.new_id("member")
    await resuming.suspended(name, first, rooms=second)
    async with (
        await resuming.client(name, third, rooms=third) as again,
        await resuming.client(resuming.new_id("says"), fresh("aside")) as speaker,
    ):
        assert await again.order("rooms_of") == [first, second]
        await speaker.order("broadcast", room=third, payload="not for it")
        await speaker.order("broadcast", room=second, payload="for it")
        assert await again.expect("said") == "for it"


@pytest.mark.parametrize("rooms", [",".join(map(str, range(129))), "x" * 257])
async def test_accept_with_too_many_rooms_or_an_invalid_one_is_a_fault_of_the_application(
    plain: ContractServer, rooms: str
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await plain.client(plain.new_id("member"), "first", rooms=rooms)
    assert refused.value.response.status_code == 500


@pytest.mark.parametrize("room", ['"forged"', "5", "null", '{"a": [1]}', "1e999", '"\\ud83d"', "9" * 100])
async def test_room_of_a_frame_is_the_applications_to_set_and_ignored_inbound(plain: ContractServer, room: str) -> None:
    async with await plain.client(plain.new_id("member"), "first") as member:
        await member.socket.send(f'{{"event": "room", "room": {room}, "id": "7", "payload": 1}}')
        assert await member.receive() == {"event": "room", "payload": "", "id": "7", "room": "told"}
        await member.socket.send(f'{{"event": "echo", "room": {room}, "payload": 1.50}}')
        assert await member.receive() == {"event": "echo", "payload": 1.5}
