"""What the receiver does when those that it gives something to raise."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.shards.plain_buses import plain_buses


async def test_frames_behind_one_that_raises_are_delivered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """All of them are with the socket when the first one raises, and its descriptor tells of them no more."""
    async with plain_buses(tmp_path, 2) as (publisher, receiver):
        rooms = [f"room{number}" for number in range(20)]
        await receiver.join(*rooms)
        got: list[str] = []

        def deliver(room_id: str, wire: bytes) -> None:
            got.append(room_id)
            if room_id != "room19":
                raise ValueError(room_id)

        receiver.deliver = deliver
        for room_id in rooms:
            publisher.bus.publish(room_id, b"frame")
        await eventually(lambda: got == rooms, "all have come")
        said = [record for record in caplog.records if record.name == "wspulse.bus"]
        assert 1 <= len(said) <= 10  # five in each window of time
        assert said[0].exc_info is not None


async def test_room_that_is_joined_beside_one_whose_call_raises_is_joined(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with plain_buses(tmp_path, 1) as (only,):
        joined: list[str] = []

        def fail() -> None:
            raise ValueError("joined")

        only.bus.join("bad", fail)
        only.bus.join("good", lambda: joined.append("good"))
        await eventually(lambda: joined == ["good"], "the other one is joined")
        assert len(caplog.records) == 1
