"""Joining and leaving under broadcasts; `scripts/room-crowd` does it with 200 clients for a minute."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.crowds.room_crowd import APP, crowd
from tests.support.processes.server_process import serve_process


@pytest.mark.parametrize("workers", [1, 4])
async def test_each_member_hears_what_was_issued_between_its_join_and_its_leave(workers: int, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    with serve_process("--app", "app:server", workers=workers, cwd=tmp_path) as server:
        faults, heard = await crowd(server.url, clients=40, rooms=20, most_rooms=10, seconds=4)
    assert faults == []
    assert heard > 1000
