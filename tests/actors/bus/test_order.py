"""All endpoints of a bus deliver the frames of a room once and in one order, which keeps that of each publisher."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from tests.support.buses.stage import KINDS, staged
from tests.support.eventually import eventually

ROOMS = [f"room{number}" for number in range(8)]


@pytest.mark.race
@pytest.mark.parametrize("kind", KINDS)
async def test_everybody_delivers_all_in_one_order(kind: str, tmp_path: Path, draw: Random, race_rounds: int) -> None:
    async with staged(kind, tmp_path, draw) as stage:
        for each in stage.endpoints:
            await each.join(*ROOMS)
        sent: dict[tuple[int, str], list[bytes]] = {}
        excluded: dict[bytes, frozenset[str]] = {}

        async def talk(who: int, draw: Random) -> None:
            bus = stage[who].bus
            for turn in range(100 * race_rounds):
                room, wire = draw.choice(ROOMS), b"%d %d" % (who, turn)
                wire += b"." * draw.choice((0, 0, 100, 10_000))
                but = frozenset({"ann", "bob"}) if draw.random() < 0.1 else frozenset[str]()
                sent.setdefault((who, room), []).append(wire)
                if but:
                    excluded[wire] = but
                if draw.random() < 0.05:
                    await bus.publish_when_free(room, wire, but)
                else:
                    assert bus.publish_but(room, wire, but) if but else bus.publish(room, wire)
                if draw.random() < 0.3:
                    await asyncio.sleep(0)

        await asyncio.gather(*(talk(who, Random(draw.random())) for who in range(len(stage.endpoints))))
        total = sum(map(len, sent.values()))
        await eventually(lambda: all(len(each.delivered) >= total for each in stage.endpoints), "all has come")
        for each in stage.endpoints:
            assert len(each.delivered) == total
            assert each.excluded == excluded
            assert each.metrics.bus_gaps == 0
        for room in ROOMS:
            order = stage[0].of(room)
            assert all(each.of(room) == order for each in stage.endpoints)
            for who in range(len(stage.endpoints)):
                assert [wire for wire in order if wire.startswith(b"%d " % who)] == sent.get((who, room), [])
