"""What is done to a server under its crowd, and what the contract says of it.

Each strike is a coroutine with a `Stage` that raises AssertionError where the contract does not hold; `STRIKES` names them. Those
that last are given their seconds.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from websockets.asyncio.client import connect

from tests.support.chaos.stage import WORKERS, Stage
from wspulse import AsyncControl, ControlError

__all__ = ["STRIKES", "Strike"]

AWAY_S = 12.0
"""How long a process is stopped."""

REPLACED_S = 8.0
"""A backoff of at most 5 s, and a start."""

DEADLY = {getattr(signal, f"SIG{name}") for name in ("KILL", "SEGV", "BUS", "FPE", "ILL", "ABRT", "SYS", "TRAP")}
ENDING = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
STOPPING = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
"""SIGTTIN and SIGTTOU by their default alone."""

SCALING = {signal.SIGTTIN, signal.SIGTTOU}


class Strike(NamedTuple):
    name: str
    run: Callable[[Stage], Awaitable[None]]
    unread_log: bool = False


async def _all_is_well(stage: Stage) -> None:
    """Nobody was cut off, nothing was lost or doubled, and what an operator sees says so."""
    assert not stage.crowd.ends, stage.crowd.ends
    await stage.crowd.hear_each_other()
    stage.crowd.assert_in_order()
    await stage.until(lambda: stage.health() == 200, 5, "health says ok")
    await stage.all_are_ready(REPLACED_S)
    # A probe reaches one worker, and the next one another.
    await stage.all_are_well(5)
    assert (await stage.stats()).totals.bus_gaps == 0


async def _loses_a_worker_and_gets_it_back(stage: Stage, shard: int, number: int = signal.SIGKILL) -> None:
    theirs = await stage.members_of(shard)
    pid = stage.worker(shard)
    os.kill(pid, number)
    await stage.until(lambda: stage.server.worker_pids().get(shard) not in (None, pid), REPLACED_S, "it is replaced")
    await stage.until(lambda: theirs <= set(stage.crowd.ends), 5, "its clients see the end")
    assert set(stage.crowd.ends) == theirs, "others were cut off"
    await stage.all_are_ready(REPLACED_S)
    await stage.crowd.come_back()
    await _all_is_well(stage)


async def _nobody_has_noticed_a_reload(stage: Stage) -> None:
    """Every session has moved to a new worker, with its socket."""
    await stage.all_are_ready(REPLACED_S)
    assert stage.crowd.ends == {}, "sockets were closed"


# Folders and files.


async def _runtime_directory_is_removed(stage: Stage) -> None:
    shutil.rmtree(stage.runtime_dir)
    await _is_mended(stage)
    await _loses_a_worker_and_gets_it_back(stage, 1)


async def _runtime_directory_of_all_is_removed(stage: Stage) -> None:
    shutil.rmtree(stage.runtime_dir.parent)
    await _is_mended(stage)
    await _loses_a_worker_and_gets_it_back(stage, 1)


async def _another_directory_is_in_its_place(stage: Stage) -> None:
    stage.runtime_dir.rename(stage.folder / "moved away")
    stage.runtime_dir.mkdir(mode=0o700)
    await _is_mended(stage)
    await _loses_a_worker_and_gets_it_back(stage, 1)


async def _files_of_the_runtime_directory_are_removed(stage: Stage) -> None:
    for each in list(stage.runtime_dir.iterdir()):
        each.unlink()
    await _second_start_harms_nobody(stage)
    await _is_mended(stage)
    await _loses_a_worker_and_gets_it_back(stage, 1)


async def _is_mended(stage: Stage) -> None:
    """The control socket answers again, and all is well."""

    async def answers() -> bool:
        try:
            async with AsyncControl(stage.server.control, timeout=1) as control:
                await control.ping()
        except ControlError:
            return False
        return True

    end = asyncio.get_running_loop().time() + 15
    while not await answers():
        assert asyncio.get_running_loop().time() < end, f"the control socket stays dead:\n{stage.server.stderr()}"
        await asyncio.sleep(0.2)
    await _all_is_well(stage)


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


async def _working_directory_is_removed(stage: Stage) -> None:
    release = (stage.folder / "current").resolve()
    theirs = await stage.members_of(2)
    pid = stage.worker(2)
    kept = release.with_name("kept")
    shutil.copytree(release, kept)
    shutil.rmtree(release)
    os.kill(pid, signal.SIGKILL)
    await stage.until(lambda: theirs <= set(stage.crowd.ends), 5, "its clients see the end")
    # Several starts fail meanwhile; then somebody puts it back.
    await asyncio.sleep(5)
    assert set(stage.crowd.ends) == theirs, "others were cut off"
    assert stage.server.is_running()
    kept.rename(release)
    await stage.all_are_ready(REPLACED_S)
    await stage.crowd.come_back()
    await _all_is_well(stage)


def _is_ready(stage: Stage) -> bool:
    return len(stage.server.worker_pids()) == WORKERS


async def _symlink_is_switched(stage: Stage) -> None:
    release = stage.folder / "release-2"
    shutil.copytree((stage.folder / "current").resolve(), release)
    old = (stage.folder / "current").resolve()
    switched = stage.folder / "switched"
    switched.symlink_to(release)
    switched.rename(stage.folder / "current")
    shutil.rmtree(old)
    async with AsyncControl(stage.server.control, timeout=60) as control:
        await control.reload()
    await _nobody_has_noticed_a_reload(stage)
    await _all_is_well(stage)
    async with connect(f"{stage.server.url}?id=asks", proxy=None) as asks:
        await asks.send('{"event":"which release"}')
        assert "release-2" in str(await asyncio.wait_for(asks.recv(), 5))


# The log.


async def _log_is_not_read(stage: Stage) -> None:
    """Each worker writes far more than a pipe holds."""
    for member in stage.crowd.members.values():
        for _ in range(200):
            await member.socket.send('{"event":"log"}')
    await _all_is_well(stage)
    stage.server.terminate()
    assert await asyncio.to_thread(stage.server.wait, 15) == 0
    await stage.until(lambda: len(stage.crowd.ends) == len(stage.crowd.members), 5, "all see the end")
    assert {end[0] for end in stage.crowd.ends.values()} == {1001}, stage.crowd.ends


# Processes.


async def _each_worker_is_killed(stage: Stage) -> None:
    for shard in range(WORKERS):
        await _loses_a_worker_and_gets_it_back(stage, shard)


async def _each_helper_is_killed(stage: Stage) -> None:
    helpers = _helpers(stage)
    assert helpers, "there is nobody to be killed"
    for pid in helpers:
        os.kill(pid, signal.SIGKILL)
    await _all_is_well(stage)
    await _loses_a_worker_and_gets_it_back(stage, 0)


def _helpers(stage: Stage) -> set[int]:
    """Processes that Python itself has started."""
    return stage.server.pids() - {stage.server.pid, *stage.server.worker_pids().values()}


async def _supervisor_is_killed(stage: Stage) -> None:
    await _supervisor_ends(stage, signal.SIGKILL)


async def _supervisor_ends(stage: Stage, number: int) -> None:
    os.kill(stage.server.pid, number)
    await asyncio.to_thread(stage.server.wait_gone, 6)
    await stage.until(lambda: len(stage.crowd.ends) == len(stage.crowd.members), 2, "all see the end")
    assert {end[0] for end in stage.crowd.ends.values()} == {1001}, stage.crowd.ends


async def _each_process_is_stopped(stage: Stage) -> None:
    for pid in (stage.server.pid, *stage.server.worker_pids().values(), *_helpers(stage)):
        with stage.stopped(pid):
            await asyncio.sleep(AWAY_S)
        await _all_is_well(stage)


async def _supervisor_is_stopped(stage: Stage) -> None:
    loop = asyncio.get_running_loop()
    with stage.stopped(stage.server.pid):
        end = loop.time() + AWAY_S
        await stage.until(lambda: stage.health() == 503, 8, "health says that rooms stand still")
        await asyncio.sleep(end - loop.time())
        assert not stage.crowd.ends, stage.crowd.ends
    await _all_is_well(stage)


async def _all_are_stopped(stage: Stage) -> None:
    pids = stage.server.pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(AWAY_S)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    await _all_is_well(stage)


# Signals.


def _harmless() -> list[int]:
    deadly = DEADLY | ENDING | STOPPING | {signal.SIGHUP}
    return sorted(int(number) for number in signal.valid_signals() if number not in deadly)


async def _supervisor_gets_each_harmless_signal(stage: Stage) -> None:
    for number in _harmless():
        os.kill(stage.server.pid, number)
        await asyncio.sleep(0.02)
    await _all_is_well(stage)


async def _worker_gets_each_harmless_signal(stage: Stage) -> None:
    pids = stage.server.worker_pids()
    for number in (*_harmless(), signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, *SCALING):
        os.kill(pids[0], number)
        await asyncio.sleep(0.02)
    await _all_is_well(stage)
    assert stage.server.worker_pids() == pids


async def _helper_gets_each_signal(stage: Stage) -> None:
    assert _helpers(stage), "there is nobody to be struck"
    for number in sorted(signal.valid_signals() - {signal.SIGSTOP, signal.SIGTSTP, *SCALING}):
        for pid in _helpers(stage):
            os.kill(pid, number)
        await asyncio.sleep(0.02)
    await _all_is_well(stage)


async def _worker_gets_each_deadly_signal(stage: Stage) -> None:
    for number in sorted(DEADLY):
        await _loses_a_worker_and_gets_it_back(stage, 3, number)


async def _each_worker_is_told_to_go(stage: Stage) -> None:
    for shard in range(WORKERS):
        await _loses_a_worker_and_gets_it_back(stage, shard, signal.SIGTERM)
    stats = await stage.stats()
    assert [worker.restarts for worker in stats.workers] == [0] * WORKERS, "a SIGTERM was counted as a crash"


async def _hangup(stage: Stage) -> None:
    """SIGHUP reloads: every worker is another one then."""
    before = stage.server.worker_pids()
    os.kill(stage.server.pid, signal.SIGHUP)
    await stage.until(
        lambda: _is_ready(stage) and not set(before.values()) & set(stage.server.worker_pids().values()),
        30,
        "all workers are replaced",
    )
    await _nobody_has_noticed_a_reload(stage)
    await _all_is_well(stage)


def _ending(number: signal.Signals) -> Strike:
    async def run(stage: Stage) -> None:
        await _supervisor_ends(stage, number)
        assert stage.server.wait() == 0

    return Strike(f"the supervisor gets {number.name}", run)


def _group(number: signal.Signals) -> Strike:
    async def run(stage: Stage) -> None:
        os.killpg(stage.server.pid, number)
        await asyncio.to_thread(stage.server.wait_gone, 12)
        assert stage.server.wait() == 0
        await stage.until(lambda: len(stage.crowd.ends) == len(stage.crowd.members), 2, "all see the end")
        assert {end[0] for end in stage.crowd.ends.values()} == {1001}, stage.crowd.ends

    return Strike(f"the whole group gets {number.name}, as from a terminal", run)


async def _group_hangup(stage: Stage) -> None:
    before = stage.server.worker_pids()
    os.killpg(stage.server.pid, signal.SIGHUP)
    await stage.until(
        lambda: _is_ready(stage) and not set(before.values()) & set(stage.server.worker_pids().values()),
        30,
        "all workers are replaced",
    )
    await _nobody_has_noticed_a_reload(stage)
    await _all_is_well(stage)


STRIKES = (
    Strike("the runtime directory is removed", _runtime_directory_is_removed),
    Strike("the runtime directory and its parent are removed", _runtime_directory_of_all_is_removed),
    Strike("another directory is where the runtime directory was", _another_directory_is_in_its_place),
    Strike("all files of the runtime directory are removed", _files_of_the_runtime_directory_are_removed),
    Strike("the working directory is removed", _working_directory_is_removed),
    Strike("the symlink of the working directory is switched", _symlink_is_switched),
    Strike("nobody reads the log", _log_is_not_read, unread_log=True),
    Strike("each worker is killed", _each_worker_is_killed),
    Strike("each helper is killed", _each_helper_is_killed),
    Strike("the supervisor is killed", _supervisor_is_killed),
    Strike("the supervisor is stopped", _supervisor_is_stopped),
    Strike("each process is stopped", _each_process_is_stopped),
    Strike("all processes are stopped", _all_are_stopped),
    Strike("the supervisor gets each harmless signal", _supervisor_gets_each_harmless_signal),
    Strike("a worker gets each harmless signal", _worker_gets_each_harmless_signal),
    Strike("a helper gets each signal", _helper_gets_each_signal),
    Strike("a worker gets each deadly signal", _worker_gets_each_deadly_signal),
    Strike("each worker gets SIGTERM", _each_worker_is_told_to_go),
    Strike("the supervisor gets SIGHUP", _hangup),
    Strike("the whole group gets SIGHUP, as from a terminal", _group_hangup),
    *(_ending(number) for number in sorted(ENDING)),
    *(_group(number) for number in sorted(ENDING)),
)
