"""A server of four workers under a crowd, struck where nothing needs a long wait; `scripts/chaos` does all of it, for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.chaos.stage import stage
from tests.support.chaos.strikes import STRIKES, Strike

QUICK = (
    "all files of the runtime directory are removed",
    "nobody reads the log",
    "the supervisor gets each harmless signal",
    "a worker gets each harmless signal",
    "the supervisor gets SIGHUP",
)


@pytest.mark.parametrize("strike", [each for each in STRIKES if each.name in QUICK], ids=lambda each: each.name)
async def test_server_under_a_crowd_keeps_its_promises_when(strike: Strike, tmp_path: Path) -> None:
    async with stage(tmp_path, members=12, unread_log=strike.unread_log) as struck:
        await strike.run(struck)


def test_quick_strikes_are_all_there() -> None:
    assert set(QUICK) <= {each.name for each in STRIKES}
