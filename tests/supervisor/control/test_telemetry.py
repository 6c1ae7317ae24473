"""The operation `metrics`: samples of what workers answer, and of what they had told before they ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.control.control_stage import ControlStage, PretendedShard, control_stage
from tests.support.control.dealers import dealers
from tests.support.eventually import eventually
from wspulse import AsyncControl
from wspulse.actors.mesh.message import GetMetrics
from wspulse.actors.values.telemetry.contract import MEASUREMENTS
from wspulse.supervisor.control.shard_links import ShardLinks
from wspulse.supervisor.control.telemetry import Telemetry
from wspulse.supervisor.protocol.types import MeasurementInfo


def measures(stage: ControlStage, shard: int, gauges: dict[str, int] | None = None, **counters: Any) -> None:
    """What a shard answers from now on."""
    answer = {"gauges": gauges or {}, "counters": counters, "histograms": {}}
    stage.shards[shard].answers[GetMetrics] = answer


def samples(told: list[MeasurementInfo], name: str) -> dict[tuple[str, ...], float | None]:
    """By the values of the labels."""
    (found,) = [each for each in told if each.name == name]
    return {tuple(sample.labels.values()): sample.value for sample in found.samples}


async def test_counters_have_a_sample_for_each_worker_and_each_kind_that_the_contract_names(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage, AsyncControl(stage.endpoint) as control:
        measures(stage, 0, frames_in=7, frames_dropped=2, frames_reserved=1, limited_of_a_later_version=5)
        measures(stage, 1, frames_in=4)
        told = await control.metrics()
        assert [each.name for each in told] == [row.name for row in MEASUREMENTS]
        assert samples(told, "wspulse_frames_received_total") == {("0",): 7, ("1",): 4}
        dropped = samples(told, "wspulse_frames_dropped_total")
        assert {labels: value for labels, value in dropped.items() if value} == {
            ("0", "buffer_full"): 2,
            ("0", "reserved"): 1,
        }
        assert dropped["1", "buffer_full"] == 0, "what has not happened yet is there too: a rate begins with it"
        assert samples(told, "wspulse_limited_total") == {("0", "of_a_later_version"): 5}


async def test_counters_go_on_when_a_worker_is_replaced_and_gauges_are_those_of_who_is_there(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage, AsyncControl(stage.endpoint) as control:
        for shard in (0, 1):
            measures(stage, shard, {"connected": 3, "suspended": 1}, frames_in=10)
        assert samples(await control.metrics(), "wspulse_sessions")["1", "connected"] == 3
        stage.pretended[1].incarnation = None
        stage.shards[1].stop()
        await eventually(lambda: not stage.plane._links.is_up(1), "the end of its stream was seen")
        told = await control.metrics()
        assert samples(told, "wspulse_frames_received_total") == {("0",): 10, ("1",): 10}
        assert samples(told, "wspulse_sessions") == {("0", "connected"): 3, ("0", "suspended"): 1}
        measures(stage, 1, {"connected": 2, "suspended": 0}, frames_in=5)
        stage.pretended[1].incarnation = 2
        stage.shards[1].start()
        await stage.links_up()
        told = await control.metrics()
        assert samples(told, "wspulse_frames_received_total") == {("0",): 10, ("1",): 15}
        assert samples(told, "wspulse_sessions")["1", "connected"] == 2


async def test_silent_worker_has_the_counters_that_it_told_last_and_no_gauges(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage, AsyncControl(stage.endpoint) as control:
        measures(stage, 0, {"rooms": 2}, frames_in=10)
        stage.pretended[1].tally.heard(1, {"frames_in": 18})
        stage.pretended[1].silence_s = 60.0
        stage.shards[1].answers[GetMetrics] = PretendedShard.SILENCE
        told = await control.metrics()
        assert samples(told, "wspulse_frames_received_total") == {("0",): 10, ("1",): 18}
        assert samples(told, "wspulse_rooms") == {("0",): 2}
        assert not stage.shards[1].silenced, "nobody waits for it"


MOVES = "wspulse_move_seconds"
LOSSES = "wspulse_cluster_losses_total"


async def test_histogram_has_cumulative_buckets_and_goes_on_when_its_worker_is_replaced(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage, AsyncControl(stage.endpoint) as control:
        for shard in (0, 1):
            measures(stage, shard)
            told = {"sum_us": 2_000_000, "0": 2, "3": 1, "13": 1} if shard else {"sum_us": 0}
            stage.shards[shard].answers[GetMetrics]["histograms"] = {MOVES: {"": told}}
        stage.pretended[1].history.heard(0, {}, {MOVES: {"": {"sum_us": 500_000, "3": 10}}})
        (found,) = [each for each in await control.metrics() if each.name == MOVES]
        assert (found.kind, found.unit) == ("histogram", "seconds")
        of_0, of_1 = found.samples
        assert (of_0.labels, of_0.count, of_0.sum, of_0.value) == ({"shard": "0"}, 0, 0, None)
        assert (of_1.labels, of_1.count, of_1.sum) == ({"shard": "1"}, 14, 2.5)
        assert of_1.buckets[:5] == (("0.001", 2), ("0.0025", 2), ("0.005", 2), ("0.01", 13), ("0.025", 13))
        assert of_1.buckets[-2:] == (("10.0", 13), ("+Inf", 14))


async def test_restarts_are_told_by_their_reason(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage, AsyncControl(stage.endpoint) as control:
        stage.pretended[0].history.restarted("crash")
        stage.pretended[1].history.restarted("crash")
        stage.pretended[1].history.restarted("failed_start")
        stage.pretended[1].history.is_stuck = True
        stage.pretended[1].history.restarted("crash")
        told = samples(await control.metrics(), "wspulse_worker_restarts_total")
        assert told == {("crash",): 2, ("stuck",): 1, ("failed_start",): 1}
        assert (await control.stats()).totals.restarts == 4


async def test_losses_of_the_cluster_are_told_and_are_none_where_there_is_none(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage, AsyncControl(stage.endpoint) as control:
        assert samples(await control.metrics(), LOSSES) == {(): 0}
    links = ShardLinks(2, lambda: (), lambda _seat: False)
    told = await Telemetry(stage, links, lambda: 17).told()
    (found,) = [each for each in told if each["name"] == LOSSES]
    assert found["samples"] == [{"labels": {}, "value": 17}]


async def test_answer_has_the_shape_that_the_document_shows(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage:
        measures(stage, 0, frames_dropped=3)
        with dealers() as peers:
            result = (await peers.dial(stage.endpoint).ask("metrics"))["result"]
        by_name = {each["name"]: each for each in result}
        dropped = by_name["wspulse_frames_dropped_total"]
        assert set(dropped) == {"name", "kind", "help", "unit", "samples"}
        assert (dropped["kind"], dropped["unit"]) == ("counter", "")
        assert dropped["samples"][0] == {"labels": {"shard": "0", "reason": "buffer_full"}, "value": 3}
        assert by_name["wspulse_build_info"]["samples"][0]["value"] == 1
