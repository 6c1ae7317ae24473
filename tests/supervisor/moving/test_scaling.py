"""Workers that come and go, step by step. The workers are pretended, and time is a number."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.supervision.plans_stage import PlansStage, plans_stage, slots
from tests.support.supervision.workers_stage import BUS
from wspulse.actors.mesh.lifecycle import (
    Alive,
    BootFailed,
    BusShared,
    CloseStrays,
    Drain,
    KeepBus,
    MovedOut,
    MoveFailed,
    MoveOut,
    SeatGone,
    SeatOpened,
    ShareBus,
    SlotTable,
)
from wspulse.supervisor.moving.scaling import Scaled
from wspulse.supervisor.process.child import ChildState
from wspulse.supervisor.process.restart.failure import MoveFailedError, RestartFailedError


def scale(stage: PlansStage, count: int) -> Scaled:
    plan = stage.plan(stage.conductor.scale(lambda _present: count))
    stage.obeys()
    done = plan.result()
    assert isinstance(done, Scaled)
    return done


def test_worker_more_gets_a_share_of_each_other_and_nothing_else_moves() -> None:
    with plans_stage(2) as stage:
        plan = stage.plan(stage.conductor.scale(lambda present: present + 1))
        assert stage.at(0).told == stage.at(1).told == [SeatOpened(2, "mailbox-2")]
        place = stage.at(2).place
        assert place is not None
        assert (place.shard, place.seat, place.stands_by, place.bus) == (2, 2, True, BUS)
        assert place.table == SlotTable(0, 2, stage.seating.table.seats)
        stage.is_prepared(2)
        assert [child.shard for child in stage.workers.children] == [0, 1]
        stage.is_ready(2)
        assert [child.shard for child in stage.workers.children] == [0, 1, 2]

        order = stage.last(0, MoveOut)
        targets = slots(order.targets)
        assert (order.leaves, targets.count(2), targets.count(65535)) == (False, 512 - 342, 1024 - 512 + 342)
        assert stage.heard(1, MoveOut) == [], "one after another"
        stage.says(0, MovedOut(order.plan, 5, 1, 0.003))
        table = stage.last(1, SlotTable)
        assert (table.version, table.workers, slots(table.seats).count(2)) == (1, 3, 170)
        assert stage.heard(1, MoveOut) == []
        stage.vacates(0)
        assert stage.heard(0, Drain) == [], "it stays"
        order = stage.last(1, MoveOut)
        assert slots(order.targets).count(2) == 512 - 341
        stage.moves_out(1, moved=7)
        stage.vacates(1)
        assert plan.result() == Scaled(12, 1, 0.004, 3)
        assert stage.shares == [342, 341, 341]
        stage.check(3)


def test_last_names_go_and_their_slots_to_those_that_are_left() -> None:
    with plans_stage(4) as stage:
        stage.says(3, Alive(3, {"frames_in": 30}))
        stage.workers.histories[3].restarts = 2
        plan = stage.plan(stage.conductor.scale(lambda _present: 2))
        for seat in (0, 1):
            order = stage.last(3, MoveOut)
            targets = slots(order.targets)
            assert (order.leaves, targets.count(seat), targets.count(65535)) == (seat == 1, 128, 1024 - 128)
            assert stage.heard(2, MoveOut) == []
            stage.moves_out(3)
            if seat == 0:
                assert slots(stage.last(0, SlotTable).seats).count(3) == 128
                assert len(stage.workers.children) == 4
                stage.vacates(3)
                assert stage.heard(3, Drain) == [], "it has others yet"
        table = stage.last(0, SlotTable)
        assert (table.workers, slots(table.seats).count(3)) == (3, 0)
        assert [child.shard for child in stage.workers.children] == [0, 1, 2]
        stage.vacates(3)
        assert stage.heard(3, Drain) == [Drain(server_closes=False, restarts=True)]
        stage.drains(3)
        assert stage.at(0).told[-1] == SeatGone(3)
        for _ in range(2):
            stage.moves_out(2)
            stage.vacates(2)
        stage.drains(2)
        assert plan.result() == Scaled(12, 0, 0.004, 2)
        assert stage.shares == [512, 512]
        assert stage.workers.histories[3].tally.total == {"frames_in": 30}, "what it counted is counted"
        assert stage.workers.histories[3].restarts == 2
        stage.check(2)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_any_walk_leaves_names_without_a_gap_and_equal_shares(walk: list[int]) -> None:
    with plans_stage(2) as stage:
        for count in walk:
            if len(stage.workers.children) == 1 < count:
                plan = stage.plan(stage.conductor.scale(lambda _present, count=count: count))  # type: ignore[misc]
                stage.says(stage.workers.children[0].seat, BusShared())
                stage.obeys()
                assert plan.done()
            else:
                scale(stage, count)
            stage.check(count)
            assert max(stage.shares) - min(stage.shares) <= 1
            assert (stage.seating.bus is None) == (count == 1)
            assert stage.seating.workers == count or count == walk[0]


def test_number_that_there_is_changes_nothing() -> None:
    with plans_stage(3) as stage:
        assert scale(stage, 3) == Scaled(0, 0, 0.0, 3)
        assert all(worker.told == [] for worker in stage.made.launched)


def test_only_worker_shares_its_bus_for_good_when_others_come_and_keeps_it_when_they_go() -> None:
    with plans_stage(1) as stage:
        plan = stage.plan(stage.conductor.scale(lambda _present: 2))
        assert stage.at(0).told == [ShareBus(*BUS)]
        stage.says(0, BusShared())
        stage.obeys()
        assert plan.result().workers == 2
        assert stage.heard(0, KeepBus) == []
        assert scale(stage, 1).workers == 1
        assert stage.at(0).told[-1] == KeepBus()
        stage.check(1)


def test_of_workers_that_are_to_come_none_stays_when_one_cannot_start() -> None:
    with plans_stage(2) as stage:
        plan = stage.plan(stage.conductor.scale(lambda _present: 4))
        stage.is_prepared(2)
        stage.says(3, Alive(0), BootFailed("Traceback\nOSError: database"))
        with pytest.raises(RestartFailedError) as caught:
            plan.result()
        assert (
            str(caught.value) == "wspulse: the new worker 3 could not start; the others keep serving: OSError: database"
        )
        stage.ends(2)
        stage.ends(3, 1)
        assert stage.heard(0, SlotTable) == []
        stage.check(2)


def test_worker_that_is_to_come_and_dies_while_the_others_get_ready_is_the_answer() -> None:
    with plans_stage(2) as stage:
        plan = stage.plan(stage.conductor.scale(lambda _present: 4))
        stage.is_prepared(2)
        stage.is_prepared(3)
        stage.is_ready(2)
        stage.ends(2, -signal.SIGKILL)
        stage.is_ready(3)
        with pytest.raises(
            RestartFailedError, match="worker 2 could not start; the others keep serving: was killed by SIGKILL"
        ):
            plan.result()
        stage.drains(3)
        stage.check(2)


@pytest.mark.parametrize("leaves", [True, False])
def test_source_that_dies_gives_its_targets_what_they_were_to_get(leaves: bool) -> None:
    with plans_stage(2) as stage:
        plan = stage.plan(stage.conductor.scale(lambda _present: 1 if leaves else 3))
        if leaves:
            stage.ends(1, -signal.SIGKILL)
            assert plan.result() == Scaled(0, 0, 0.0, 1)
            stage.check(1)
            return
        stage.is_prepared(2)
        stage.is_ready(2)
        stage.ends(0, -signal.SIGKILL)
        assert stage.shares[2] == 170
        stage.pass_time(0.5)
        stage.says(0, Alive(0))
        stage.is_ready(0)
        stage.moves_out(1)
        stage.vacates(1)
        assert plan.result().workers == 3
        assert stage.shares == [342, 341, 341]
        stage.check(3)


def test_target_that_dies_ends_the_plan_and_another_one_goes_on_from_there() -> None:
    with plans_stage(3) as stage:
        plan = stage.plan(stage.conductor.scale(lambda _present: 2))
        stage.ends(0, -signal.SIGKILL)
        stage.says(2, MoveFailed(stage.last(2, MoveOut).plan, "a target has ended", 1, 0, 1))
        with pytest.raises(MoveFailedError, match="not all sessions of worker 2 could be moved"):
            plan.result()
        stage.check(3)
        plan = stage.plan(stage.conductor.scale(lambda _present: 2))
        assert len(stage.heard(2, MoveOut)) == 1, "it waits until all are ready"
        stage.pass_time(0.5)
        stage.says(0, Alive(0))
        stage.is_ready(0)
        stage.obeys()
        assert plan.done()
        stage.check(2)
        assert stage.shares == [512, 512]


def test_target_that_does_not_get_ready_is_not_waited_for_without_end() -> None:
    with plans_stage(2) as stage:
        stage.ends(0, 1)
        plan = stage.plan(stage.conductor.scale(lambda _present: 1))
        stage.pass_time(61)
        with pytest.raises(MoveFailedError, match="was not ready within 60 s"):
            plan.result()
        assert len(stage.workers.children) == 2


def test_target_that_serves_is_not_killed_for_sessions_that_do_not_move() -> None:
    with plans_stage(2) as stage:
        plan = stage.plan(stage.conductor.scale(lambda _present: 1))
        stage.pass_time(22)
        assert [worker.kills > 0 for worker in stage.made.launched] == [False, True], (
            "it would move them later, to nobody's table"
        )
        stage.ends(1, -signal.SIGKILL)
        assert plan.result() == Scaled(0, 0, 0.0, 1)
        stage.check(1)


def test_target_that_fails_leaves_others_what_has_moved_to_them_and_closes_what_has_moved_to_it() -> None:
    with plans_stage(3) as stage:
        plan = stage.plan(stage.conductor.scale(lambda _present: 2))
        stage.moves_out(2)
        stage.vacates(2)
        assert slots(stage.last(2, MoveOut).targets).count(0) == 0, "the first has its part"
        stage.says(2, MoveFailed(stage.last(2, MoveOut).plan, "it does not answer", 1, 0, 1))
        with pytest.raises(MoveFailedError, match="not all sessions of worker 2 could be moved"):
            plan.result()
        assert (stage.heard(0, CloseStrays), stage.heard(1, CloseStrays)) == ([], [CloseStrays(0.0)])
        stage.check(3)
        assert stage.shares == [512, 341, 171]
        plan = stage.plan(stage.conductor.scale(lambda _present: 2))
        stage.obeys()
        assert plan.done()
        stage.check(2)
        assert stage.shares == [512, 512]


@pytest.mark.parametrize("state", [ChildState.WAITING, ChildState.STARTING])
def test_worker_that_is_to_go_and_is_not_ready_goes_at_once(state: ChildState) -> None:
    with plans_stage(2) as stage:
        stage.ends(1, 1)
        if state is ChildState.STARTING:
            stage.pass_time(0.5)
        assert stage.workers.children[1].state is state
        plan = stage.plan(stage.conductor.scale(lambda _present: 1))
        if state is ChildState.STARTING:
            assert stage.at(1).kills == 1
            stage.ends(1, -signal.SIGKILL)
        assert plan.result() == Scaled(0, 0, 0.0, 1)
        stage.check(1)


def test_scaling_waits_for_its_turn_and_is_asked_then() -> None:
    with plans_stage(2) as stage:
        asked: list[int] = []

        def wanted(present: int) -> int:
            asked.append(present)
            return present + 1

        plans = [stage.plan(stage.conductor.scale(wanted)) for _ in range(3)]
        assert asked == [2]
        stage.obeys()
        assert [plan.result().workers for plan in plans] == [3, 4, 5]
        assert asked == [2, 3, 4]
        stage.check(5)
