"""Reloads and restarts, step by step. The workers are pretended, and time is a number."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.support.supervision.plans_stage import PlansStage, plans_stage, slots
from tests.support.supervision.workers_stage import BUS
from wspulse.actors.mesh.lifecycle import (
    Alive,
    BootFailed,
    BusShared,
    CloseRequested,
    Drain,
    Drained,
    Exit,
    KeepBus,
    MovedOut,
    MoveOut,
    MoveProgress,
    SeatGone,
    SeatOpened,
    ShardDown,
    ShardUp,
    ShareBus,
    SlotTable,
    TakeOver,
    Vacated,
)
from wspulse.actors.values.errors import ServerClosedError
from wspulse.supervisor.errors import StartError
from wspulse.supervisor.moving.turn import Moved
from wspulse.supervisor.process.restart.failure import RestartFailedError

TRACEBACK = """Traceback (most recent call last):
  in app.py
SyntaxError: invalid syntax
"""

GONE = Drain(server_closes=False, restarts=True)


def to_moving(stage: PlansStage) -> asyncio.Task[object]:
    """Worker 0 of two is told to move its sessions to one at seat 2."""
    plan = stage.plan(stage.conductor.restart(0))
    stage.is_prepared(2)
    stage.is_ready(2)
    assert stage.heard(0, MoveOut)
    return plan


def test_worker_is_replaced_in_this_order() -> None:
    with plans_stage(2) as stage:
        source, other = stage.at(0), stage.at(1)
        plan = stage.plan(stage.conductor.restart(0))
        target = stage.at(2)
        assert target.place is not None
        assert (target.place.shard, target.place.seat, target.stands_by) == (0, 2, True)
        assert dict(target.place.mailbox_paths) == {0: "mailbox-0", 1: "mailbox-1", 2: "mailbox-2"}
        assert target.place.bus == BUS
        ups = [ShardUp(0, source.incarnation), ShardUp(1, other.incarnation)]
        assert target.told == ups
        opened, up = SeatOpened(2, "mailbox-2"), ShardUp(2, target.incarnation)
        assert source.told == other.told == [opened]

        stage.is_prepared(2)
        assert source.told == other.told == [opened, up], "before it accepts, and hands over to others"
        assert target.told == [*ups, TakeOver()]
        stage.is_ready(2)
        order = source.told[-1]
        assert isinstance(order, MoveOut)
        assert (order.leaves, order.drain, order.handover_timeout_s, order.drain_spread_s) == (True, False, 10, 0)
        assert slots(order.targets) == [2] * 512 + [65535] * 512
        assert stage.workers.children[0].pid == source.pid, "it is the worker still"

        stage.moves_out(0)
        assert slots(stage.seating.table.seats) == [2] * 512 + [1] * 512
        tables = [worker.told[-1] for worker in (source, other, target)]
        assert tables == [SlotTable(1, 2, stage.seating.table.seats)] * 3
        assert stage.workers.children[0].pid == target.pid
        assert stage.heard(0, Drain) == []

        stage.vacates(0)
        stage.says(0, Drained())
        assert source.told[-2:] == [GONE, Exit()]
        assert not plan.done()
        stage.ends(0)
        assert other.told[-2:] == target.told[-2:] == [ShardDown(0, source.incarnation), SeatGone(0)]
        assert plan.result() == Moved(0, 3, 0, 0.004)
        assert stage.said == [("moving", 0, 0), ("over", 0, 3), ("replaced", 0)]
        assert (stage.workers.children[0].restarts, source.kills) == (0, 0)
        stage.check(2)


def test_what_a_worker_counted_is_kept_over_its_replacement_and_its_last_words_are() -> None:
    with plans_stage(2) as stage:
        stage.says(0, Alive(7, {"frames_in": 30}))
        to_moving(stage)
        stage.says(2, Alive(1, {"frames_in": 2}))
        stage.moves_out(0)
        assert stage.workers.children[0].tally.total == {"frames_in": 32}
        stage.says(0, Alive(0, {"frames_in": 31}))
        stage.vacates(0)
        stage.drains(0)
        assert stage.workers.children[0].tally.total == {"frames_in": 33}


def test_reload_replaces_all_and_uses_seats_again() -> None:
    with plans_stage(3) as stage:
        for _ in range(4):
            plan = stage.plan(stage.conductor.reload())
            stage.obeys()
            assert plan.result() == [Moved(shard, 2, 1, 0.001) for shard in range(3)]
            stage.check(3)
        assert max(stage.seating.paths) <= 3, "never more than one seat besides theirs"


def test_second_reload_joins_the_first_and_one_that_does_not_join_waits_for_its_turn() -> None:
    with plans_stage(2) as stage:
        first, second = stage.plan(stage.conductor.reload()), stage.plan(stage.conductor.reload())
        later = stage.plan(stage.conductor.reload(joins=False))
        assert len(stage.made.launched) == 3, "one plan at a time"
        stage.obeys()
        assert first.result() == second.result() == later.result()
        assert len(stage.made.launched) == 2 + 2 + 2


def test_caller_that_goes_away_does_not_end_the_plan() -> None:
    with plans_stage(2) as stage:
        plan = stage.plan(stage.conductor.restart(1))
        plan.cancel()
        stage.obeys()
        assert stage.said[-1] == ("replaced", 1)
        stage.check(2)


def test_word_of_an_earlier_plan_or_of_another_worker_means_nothing() -> None:
    with plans_stage(2) as stage:
        to_moving(stage)
        stage.says(0, MovedOut(99, 1, 0, 0.0), Vacated(1))
        stage.says(1, MovedOut(1, 1, 0, 0.0))
        assert stage.heard(0, SlotTable) == []
        assert stage.conductor.left(0) == 0


def test_how_many_are_left_is_known_while_they_move() -> None:
    with plans_stage(2) as stage:
        stage.says(0, Alive(9))
        stage.plan(stage.conductor.restart(0))
        stage.is_prepared(2)
        assert stage.conductor.left(0) is None, "none does yet"
        stage.is_ready(2)
        assert (stage.conductor.left(0), stage.conductor.left(1)) == (9, None)
        stage.says(0, MoveProgress(1, 4, 0, 5, 0.001))
        assert stage.conductor.left(0) == 5


def test_drain_closes_the_sessions_instead() -> None:
    with plans_stage(2, drain_spread_s=20.0) as stage:
        plan = stage.plan(stage.conductor.restart(0, drain=True))
        stage.is_prepared(2)
        stage.is_ready(2)
        order = stage.last(0, MoveOut)
        assert (order.drain, order.drain_spread_s) == (True, 20)
        stage.says(0, MovedOut(order.plan, 0, 8, 0.0), Vacated(order.plan))
        stage.drains(0)
        assert plan.result() == Moved(0, 0, 8, 0.0)


def test_worker_that_is_not_ready_is_begun_anew_at_its_seat_and_first() -> None:
    with plans_stage(3) as stage:
        stage.ends(2, 1)
        plan = stage.plan(stage.conductor.reload())
        assert [worker.place.seat for worker in stage.made.launched if worker.place is not None] == [0, 1, 2, 2]
        stage.says(2, Alive(0))
        stage.is_ready(2)
        stage.obeys()
        assert plan.result() == [Moved(0, 2, 1, 0.001), Moved(1, 2, 1, 0.001), Moved(2)]
        stage.check(3)


def test_next_worker_waits_until_all_are_ready_and_not_for_ever() -> None:
    with plans_stage(3) as stage:
        plan = stage.plan(stage.conductor.reload())
        stage.ends(2, 1)
        stage.obeys()
        assert len([worker for worker in stage.made.launched if worker.stands_by]) == 1
        stage.pass_time(59)
        assert not plan.done()
        stage.pass_time(2)
        with pytest.raises(RestartFailedError, match=r"worker 2 was not ready within 60 s \(--give-up-after\)"):
            plan.result()


def test_worker_that_is_started_anew_and_never_gets_ready_holds_no_plan_up_for_ever() -> None:
    with plans_stage(2) as stage:
        stage.ends(1, 1)
        plan = stage.plan(stage.conductor.reload())
        other = stage.plan(stage.conductor.restart(0))
        stage.pass_time(59)
        assert not plan.done()
        stage.pass_time(2)
        with pytest.raises(
            RestartFailedError, match=r"worker 1 .* started again: it was not ready within 60 s \(--give-up-after\)"
        ):
            plan.result()
        stage.obeys()
        assert other.result() == Moved(0, 2, 1, 0.001)


def test_reload_that_closes_all_is_not_joined_to_one_that_moves_them() -> None:
    with plans_stage(2) as stage:
        plans = [stage.plan(stage.conductor.reload(drain=drain)) for drain in (False, False, True, True)]
        stage.obeys()
        assert all(plan.done() for plan in plans)
        assert [plan.result() is plans[0].result() for plan in plans] == [True, True, False, False]
        assert [worker.stands_by for worker in stage.made.launched].count(True) == 4


def test_unknown_name_is_refused() -> None:
    with plans_stage(2) as stage:
        for shard in (-1, 2):
            plan = stage.plan(stage.conductor.restart(shard))
            with pytest.raises(IndexError, match=rf"there is no shard {shard}; allowed: 0 … 1"):
                plan.result()


def test_standby_whose_on_start_closes_the_server_closes_it() -> None:
    with plans_stage(2) as stage:
        stage.plan(stage.conductor.restart(0))
        stage.says(2, CloseRequested())
        assert stage.said == [("closes",)]


@pytest.mark.parametrize("when", ["loading", "accepting", "moving", "moved"])
def test_end_of_the_server_ends_the_plan_and_both_workers_drain(when: str) -> None:
    with plans_stage(2) as stage:
        plan, other = stage.plan(stage.conductor.reload()), stage.plan(stage.conductor.scale(lambda _present: 3))
        if when != "loading":
            stage.is_prepared(2)
        if when in ("moving", "moved"):
            stage.is_ready(2)
        if when == "moved":
            stage.moves_out(0)
        stage.plan(stage.conductor.stop())
        for each in (plan, other):
            with pytest.raises(ServerClosedError):
                each.result()
        stopping = stage.made.stop()
        told = stage.at(2).told
        assert stage.at(0).told[-1] == stage.at(1).told[-1] == Drain()
        if when == "loading":
            assert stage.at(2).kills == 1, "it was not heard yet"
        else:
            assert told[-1] == Drain()
        for worker in stage.made.launched:
            worker.says(Drained())
        stage.run()
        for worker in stage.made.launched:
            worker.ends(0)
        stage.run()
        assert stopping.done()
        with pytest.raises(ServerClosedError):
            stage.plan(stage.conductor.restart(0)).result()


def test_only_worker_shares_its_bus_before_another_comes_and_keeps_it_when_it_is_alone() -> None:
    with plans_stage(1) as stage:
        plan = stage.plan(stage.conductor.reload())
        assert stage.at(0).told == [ShareBus(*BUS)]
        assert len(stage.made.launched) == 1
        stage.says(0, BusShared())
        target = stage.at(1)
        assert target.place is not None
        assert target.place.bus == BUS
        stage.obeys()
        assert plan.result() == [Moved(0, 2, 1, 0.001)]
        assert target.told[-2:] == [SeatGone(0), KeepBus()]
        assert stage.seating.bus is None
        stage.check(1)
        again = stage.plan(stage.conductor.reload())
        stage.says(1, BusShared())
        stage.obeys()
        assert again.done()
        assert stage.at(0).told[-1] == KeepBus()


def test_only_worker_keeps_its_bus_again_when_its_replacement_has_failed_and_gone() -> None:
    with plans_stage(1) as stage:
        plan = stage.plan(stage.conductor.reload())
        stage.says(0, BusShared())
        stage.says(1, Alive(0), BootFailed(TRACEBACK))
        assert plan.done()
        assert stage.heard(0, KeepBus) == []
        stage.ends(1, 1)
        assert stage.at(0).told[-2:] == [SeatGone(1), KeepBus()]
        stage.check(1)


@pytest.mark.parametrize("how", ["silent", "no forwarder"])
def test_only_worker_that_does_not_share_its_bus_is_not_replaced(how: str) -> None:
    with plans_stage(1) as stage:
        if how == "no forwarder":
            stage.bus_error = StartError("the bus cannot be opened")
        plan = stage.plan(stage.conductor.reload())
        stage.pass_time(11)
        with pytest.raises(RestartFailedError, match=r"the old one keeps serving: the (only worker|bus) "):
            plan.result()
        assert stage.seating.bus is None
        assert len(stage.made.launched) == 1
        stage.check(1)


def test_only_worker_that_dies_before_it_shares_its_bus_is_begun_anew_in_its_place() -> None:
    with plans_stage(1) as stage:
        plan = stage.plan(stage.conductor.reload())
        stage.ends(0, -signal.SIGKILL)
        stage.pass_time(0.5)
        stage.says(0, Alive(0))
        stage.is_ready(0)
        assert plan.result() == [Moved(0)]
        assert stage.at(0).told == [KeepBus()]
        stage.check(1)
