"""Folders and files that are removed, or are others than they were."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys

from websockets.asyncio.client import connect

from tests.support.chaos.stage import Stage
from tests.support.chaos.strikes.wellness import (
    REPLACED_S,
    all_are_replaced,
    all_is_well,
    loses_a_worker_and_gets_it_back,
)
from wspulse import AsyncControl, ControlError

__all__ = [
    "another_directory_is_in_its_place",
    "files_of_the_runtime_directory_are_removed",
    "runtime_directory_is_removed",
    "runtime_directory_of_all_is_removed",
    "symlink_is_switched",
    "working_directory_is_removed",
]


async def runtime_directory_is_removed(stage: Stage) -> None:
    shutil.rmtree(stage.runtime_dir)
    await _is_mended(stage)
    await loses_a_worker_and_gets_it_back(stage, 1)


async def runtime_directory_of_all_is_removed(stage: Stage) -> None:
    shutil.rmtree(stage.runtime_dir.parent)
    await _is_mended(stage)
    await loses_a_worker_and_gets_it_back(stage, 1)


async def another_directory_is_in_its_place(stage: Stage) -> None:
    stage.runtime_dir.rename(stage.folder / "moved away")
    stage.runtime_dir.mkdir(mode=0o700)
    await _is_mended(stage)
    await loses_a_worker_and_gets_it_back(stage, 1)


async def files_of_the_runtime_directory_are_removed(stage: Stage) -> None:
    for each in list(stage.runtime_dir.iterdir()):
        each.unlink()
    await _second_start_harms_nobody(stage)
    await _is_mended(stage)
    await loses_a_worker_and_gets_it_back(stage, 1)


async def _is_mended(stage: Stage) -> None:
    """The control socket answers again, and all is well."""

    async def answers() -> bool:
        try:
            async with AsyncControl(stage.server.control, timeout=1) as control:
                await control.ping()
        except ControlError:
            return False
        return True

    with stage.timed("the control socket answers again after {}"):
        end = asyncio.get_running_loop().time() + 15
        while not await answers():
            assert asyncio.get_running_loop().time() < end, f"the control socket stays dead:\n{stage.server.stderr()}"
            await asyncio.sleep(0.2)
    await all_is_well(stage)


async def _second_start_harms_nobody(stage: Stage) -> None:
    """Somebody starts a server on the same port by mistake."""
    second = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "wspulse.supervisor", "--port", str(stage.server.port), "--app", "echo"],
        env=os.environ | {"XDG_RUNTIME_DIR": str(stage.folder / "run")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 1, second
    assert "Traceback" not in second.stderr, second.stderr


async def working_directory_is_removed(stage: Stage) -> None:
    """Several starts fail meanwhile; then somebody puts it back."""
    release = (stage.folder / "current").resolve()
    theirs = await stage.members_of(2)
    pid = stage.worker(2)
    kept = release.with_name("kept")
    shutil.copytree(release, kept)
    shutil.rmtree(release)
    os.kill(pid, signal.SIGKILL)
    await stage.until(lambda: theirs <= set(stage.crowd.ends), 5, "its clients see the end")
    stage.concerned |= theirs
    await stage.until(lambda: stage.server.stderr().count("no worker could be started") >= 3, 5, "three starts fail")
    assert set(stage.crowd.ends) == theirs, "others were cut off"
    assert stage.server.is_running()
    kept.rename(release)
    with stage.timed(f"its {len(theirs)} clients back {{}} after the directory"):
        await stage.crowd.come_back()
    await stage.all_are_ready(REPLACED_S)
    await all_is_well(stage)


async def symlink_is_switched(stage: Stage) -> None:
    """As a deployment does it; then `reload`."""
    release = stage.folder / "release-2"
    shutil.copytree((stage.folder / "current").resolve(), release)
    old = (stage.folder / "current").resolve()
    switched = stage.folder / "switched"
    switched.symlink_to(release)
    switched.rename(stage.folder / "current")
    shutil.rmtree(old)
    before = stage.server.worker_pids()
    async with AsyncControl(stage.server.control, timeout=60) as control:
        moved = await control.reload()
    stage.saw(f"{sum(each.moved for each in moved)} sessions moved")
    await all_are_replaced(stage, before)
    await all_is_well(stage)
    async with connect(f"{stage.server.url}?id=asks", proxy=None) as asks:
        await asks.send('{"event":"which release"}')
        assert "release-2" in str(await asyncio.wait_for(asks.recv(), 5))
