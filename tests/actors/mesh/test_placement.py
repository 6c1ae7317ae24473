"""Which shard owns an id: the same everywhere, for ever, and evenly."""

from __future__ import annotations

import subprocess
import sys
from array import array
from collections import Counter
from sys import byteorder
from uuid import RFC_4122, UUID

import pytest

from wspulse.actors.mesh.placement import SETTLING, Placement

SLOTS = 1024
"""doc/inside/internals.md: the slices of the id space."""

IDS = [f"user-{number}" for number in range(20_000)]


@pytest.mark.parametrize("shards", [1, 2, 3, 4, 7, 8, 64, 1000, SLOTS])
def test_every_shard_owns_its_share_of_ids(shards: int) -> None:
    placement = Placement(shards)
    counts = Counter(map(placement.shard_of, IDS))
    assert set(counts) <= set(range(shards))
    share = len(IDS) / shards
    if share > 1000:
        assert all(0.9 * share < counts[shard] < 1.1 * share for shard in range(shards))


@pytest.mark.parametrize("shards", [1, 3, 1000, SLOTS])
def test_shards_own_equally_many_slots_but_for_one(shards: int) -> None:
    counts = Counter(Placement(shards)._table)
    assert sum(counts.values()) == SLOTS
    assert len(counts) == shards
    assert max(counts.values()) - min(counts.values()) <= 1


def test_consecutive_ids_do_not_share_a_shard() -> None:
    for shards in (2, 4, 8):
        counts = Counter(Placement(shards).shard_of(f"user-{number}") for number in range(10))
        assert max(counts.values()) < 8, counts


def test_owner_of_an_id_never_changes() -> None:
    # Values of today: another process, machine or release must find the same.
    owners = {"": 0, "alice": 0, "bob": 6, "größe": 4, "\N{GRINNING FACE}": 2, "\ud800": 5}
    placement = Placement(8)
    assert {name: placement.shard_of(name) for name in owners} == owners


def test_owner_is_the_same_in_a_process_with_another_hash_seed() -> None:
    code = "from wspulse.actors.mesh.placement import Placement; print([Placement(7).shard_of(f'user-{n}') for n in range(50)])"
    found = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert found == {f"{[Placement(7).shard_of(f'user-{n}') for n in range(50)]}\n"}


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_new_id_is_a_uuid_that_its_shard_owns(shards: int) -> None:
    placement = Placement(shards)
    for shard in range(shards):
        ids = {placement.new_id(shard) for _ in range(20)}
        assert len(ids) == 20
        assert {placement.shard_of(new_id) for new_id in ids} == {shard}
        assert {(UUID(new_id).version, UUID(new_id).variant) for new_id in ids} == {(4, RFC_4122)}
        assert {str(UUID(new_id)) for new_id in ids} == ids


@pytest.mark.parametrize("shards", [-1, 0, SLOTS + 1])
def test_count_of_shards_out_of_range_is_refused(shards: int) -> None:
    with pytest.raises(ValueError, match=f"^wspulse: workers: {shards} is out of range; allowed: 1 … 1024$"):
        Placement(shards)


def test_table_that_is_adopted_says_whose_ids_are_and_which_slots_change_hands() -> None:
    placement = Placement(2)
    seats = array("H", (300 if slot % 3 == 0 else 1 for slot in range(SLOTS)))
    if byteorder == "big":
        seats.byteswap()
    changed = placement.adopt(4, 2, seats.tobytes())
    assert changed == {slot: slot * 2 // SLOTS for slot in range(SLOTS) if slot % 3 == 0 or slot < SLOTS // 2}
    assert placement.seats == seats.tobytes()
    for name in IDS[:500]:
        owner = 300 if placement.slot_of(name) % 3 == 0 else 1
        assert placement.shard_of(name) == placement.final_owner(name) == owner
    assert placement.final_owner(placement.new_id(300)) == 300
    assert placement.adopt(4, 9, bytes(2 * SLOTS)) == {}
    assert placement.adopt(3, 9, bytes(2 * SLOTS)) == {}
    assert (placement.version, placement.shards) == (4, 2)
    with pytest.raises(ValueError, match="slot table"):
        placement.adopt(5, 2, bytes(10))


def test_seat_without_slots_draws_any_id() -> None:
    placement = Placement(2)
    drawn = [placement.new_id(7) for _ in range(50)]
    assert len({*drawn}) == 50
    assert {placement.shard_of(name) for name in drawn} == {0, 1}


def test_slot_that_settles_has_an_owner_but_nobody_to_ask_at_once() -> None:
    placement = Placement(2)
    name = placement.new_id(1)
    placement.unsettle([placement.slot_of(name)])
    assert placement.shard_of(name) == SETTLING
    assert placement.final_owner(name) == 1
    assert placement.final_owner(placement.new_id(1)) == 1
    placement.settle(placement.slot_of(name))
    assert placement.shard_of(name) == 1
