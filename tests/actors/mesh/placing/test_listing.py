"""A snapshot of all sessions has each of them once, though they move while it is made."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from wspulse.actors.mesh.message import ConnectionList, ConnectionRecord
from wspulse.actors.mesh.placing.listing import list_sessions


def record(serial: int, seat: int = 0) -> ConnectionRecord:
    return ConnectionRecord(f"user-{serial}", "room", seat, 1, serial, "connected", 0.0, 0)


@pytest.mark.race
async def test_session_that_moves_while_it_is_listed_is_there_once(draw: Random, race_rounds: int) -> None:
    for _ in range(race_rounds):
        where = [{*range(20)}, set[int]()]

        async def list_at(seat: int, where: list[set[int]] = where) -> ConnectionList:
            for _ in range(draw.randrange(4)):
                await asyncio.sleep(0)
            answer = ConnectionList([record(serial, seat) for serial in where[seat]], [] if seat else [1])
            for _ in range(draw.randrange(4)):
                await asyncio.sleep(0)
            return answer

        async def move(where: list[set[int]] = where) -> None:
            for serial in range(20):
                await asyncio.sleep(0)
                where[1].add(serial)
                where[0].discard(serial)

        moving = asyncio.create_task(move())
        for _ in range(draw.randrange(20)):
            await asyncio.sleep(0)
        listed = [each.serial for each in await list_sessions([0, 1], list_at)]
        assert sorted(listed) == list(range(20))
        await moving


async def test_process_that_dies_while_it_is_asked_has_none_and_all_others_are_asked_for_what_it_had_given_away() -> (
    None
):
    asked: list[int] = []

    async def list_at(seat: int) -> ConnectionList | None:
        asked.append(seat)
        if seat == 0:
            return None if asked.count(0) == 1 else ConnectionList([])
        return ConnectionList([record(1)] if asked.count(1) == 2 else [])

    assert [each.serial for each in await list_sessions([0, 1], list_at)] == [1]


async def test_seats_that_name_each_other_for_ever_are_asked_a_few_times_only() -> None:
    asked: list[int] = []

    async def list_at(seat: int) -> ConnectionList:
        asked.append(seat)
        return ConnectionList([record(seat)], [1 - seat])

    assert len(await list_sessions([0, 1], list_at)) == 2
    assert len(asked) <= 8
