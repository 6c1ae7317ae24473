"""A server of four workers under a crowd, struck where nothing needs a long wait; `scripts/chaos` does all of it, for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.chaos.row import Outcome, Row, under_crowd
from tests.support.chaos.rows import ROWS
from tests.support.chaos.stage import Stage
from tests.support.chaos.strikes.wellness import all_is_well
from wspulse import AsyncControl

QUICK = ("memory-refused", "log-unread", "runtime-files", "signals-supervisor", "signals-worker", "hangup")


@pytest.mark.parametrize("row", [row for row in ROWS if row.name in QUICK], ids=lambda row: row.name)
async def test_server_under_a_crowd_keeps_its_promises_in(row: Row, tmp_path: Path) -> None:
    seen = await row.run(tmp_path, 12)
    assert any("frames heard: 0 lost or out of order" in each for each in seen), seen


async def test_row_is_red_when_a_frame_is_missing_or_a_client_is_cut_off_that_should_not_be() -> None:
    async def strike(stage: Stage) -> None:
        ears = stage.crowd.members["c0"].heard
        # As if one more had come than has.
        ears[next(iter(ears))] += 1
        with pytest.raises(AssertionError, match=r"c0\.\d+ heard (\d+) of \S+ after \1"):
            await all_is_well(stage)
        stage.crowd.faults.clear()
        await all_is_well(stage)
        async with AsyncControl(stage.server.control) as control:
            await control.kick("c3")
        await stage.until(lambda: stage.crowd.ends, 5, "its client sees the end")
        await all_is_well(stage)

    outcome = await Outcome.of(Row("strike", "a client is kicked", "", under_crowd(strike)), 6)
    assert outcome.as_record()["held"] is False
    assert outcome.why == "AssertionError: {'c3': (1000, 'kicked')}"


def test_rows_have_names_of_their_own_and_each_says_what_is_promised() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    assert set(QUICK) <= set(names)
    assert all(row.title and row.promised.endswith(".") for row in ROWS)
