"""The control plane's sockets when their files are removed: who is connected stays so, who comes later is served."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.control.control_stage import control_stage
from wspulse import AsyncControl
from wspulse.supervisor.control.endpoint import claim_endpoint
from wspulse.supervisor.errors import StartError
from wspulse.supervisor.premises.runtime_dir import RuntimeDir


async def test_sockets_are_bound_again_and_serve_who_was_there_and_who_comes(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage, AsyncControl(stage.endpoint) as early:
        (kept,) = stage.plane.kept
        folder = tmp_path / "run/wspulse/8000"
        assert kept.paths == (f"{folder}/control.sock", f"{folder}/events-0.sock")
        info = await early.ping()
        for name in ("control.sock", "events-0.sock"):
            (folder / name).unlink()
        kept.restore(kept.missing())
        assert kept.missing() == []
        assert {oct(os.stat(path).st_mode & 0o777) for path in kept.paths} == {"0o600"}  # noqa: PTH116
        assert await early.ping() == info
        async with AsyncControl(stage.endpoint) as late, late.events("worker.") as stream:
            assert await late.ping() == info
            stage.plane._pids[0] = 7
            stage.plane.worker_ready(stage.children[0])
            assert (await anext(stream)).kind == "worker.ready"


async def test_file_in_the_place_of_a_socket_stays_and_is_in_the_way(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage:
        (kept,) = stage.plane.kept
        place = tmp_path / "run/wspulse/8000/control.sock"
        place.unlink()
        place.write_text("precious")
        with pytest.raises(StartError, match="exists and is not a socket"):
            kept.restore(kept.missing())
        assert place.read_text() == "precious"


async def test_stats_tell_what_the_server_lacks(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage, AsyncControl(stage.endpoint) as control:
        assert (await control.stats()).unwell == []
        stage.health.fail("the bus was removed")
        assert (await control.stats()).unwell == ["the bus was removed"]


def test_lock_that_was_removed_is_taken_again_unless_another_server_has_it(tmp_path: Path) -> None:
    for name in ("run", "f"):
        (tmp_path / name).mkdir(mode=0o700)
    runtime_dir = RuntimeDir.claim(8000, {"XDG_RUNTIME_DIR": str(tmp_path / "run")})
    text, lock = f"ipc://{tmp_path}/f/c", tmp_path / "f/c.lock"
    claimed = claim_endpoint(text, runtime_dir, has_keys=False)
    claimed.restore()
    lock.unlink()
    claimed.restore()
    with pytest.raises(StartError, match="another wspulse server has its control socket"):
        claim_endpoint(text, runtime_dir, has_keys=False)
    lock.unlink()
    other = claim_endpoint(text, runtime_dir, has_keys=False)
    with pytest.raises(StartError, match="another wspulse server has its control socket"):
        claimed.restore()
    (tmp_path / "f/c").touch()
    claimed.release()
    assert lock.exists(), "it is the other server's"
    assert (tmp_path / "f/c").exists()
    other.release()
    assert list((tmp_path / "f").iterdir()) == []
    runtime_dir.release()
