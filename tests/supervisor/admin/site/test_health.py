"""When a server is ready, and what is said of one that is not."""

from __future__ import annotations

import pytest

from wspulse.supervisor.admin.site.health import reasons_against
from wspulse.supervisor.protocol.types import ServerStats, Totals, WorkerStats


def worker(shard: int, state: str = "ready", unwell: list[str] | None = None) -> WorkerStats:
    return WorkerStats(shard=shard, pid=100 + shard, state=state, unwell=unwell or [])


def stats(*workers: WorkerStats, unwell: list[str] | None = None) -> ServerStats:
    return ServerStats("1", 1, 1.0, 1, Totals(), list(workers), unwell or [])


def test_server_whose_workers_all_serve_is_ready() -> None:
    assert reasons_against(stats(worker(0), worker(1, "moving"))) == []


@pytest.mark.parametrize("state", ["starting", "silent", "draining", "drained", "waiting", "stopped"])
def test_one_worker_that_does_not_serve_is_enough(state: str) -> None:
    assert reasons_against(stats(worker(0), worker(1, state))) == [f"worker 1 is {state}"]


def test_what_is_amiss_with_the_server_and_with_a_worker_is_said_once() -> None:
    amiss = stats(worker(0, unwell=["no bus"]), worker(1, unwell=["no bus", "deaf"]), unwell=["no bus"])
    assert reasons_against(amiss) == ["no bus", "worker 1: deaf"]


def test_server_that_has_no_workers_yet_is_not_ready() -> None:
    assert reasons_against(stats()) == ["no worker has been started yet"]
