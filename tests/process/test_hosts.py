"""Sessions and rooms over two real hosts; `scripts/cluster-walks` tries all this hundreds of times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.support.contract.server import ContractServer
from tests.support.crowds.exact_crowd import Crowd, report
from tests.support.crowds.hosts.lines import LANGUAGES, walking_lines, with_lines
from tests.support.crowds.hosts.one_id import at_once, one_after_the_other
from tests.support.crowds.hosts.places import two_hosts
from tests.support.crowds.hosts.rooms import one_order, open_means_joined
from tests.support.crowds.hosts.walks import exact_walk, plain_walk


@pytest.fixture(scope="module")
def hosts() -> Iterator[list[ContractServer]]:
    with two_hosts() as served:
        yield served


async def test_members_on_both_hosts_hear_what_all_say_in_one_order(hosts: list[ContractServer]) -> None:
    await one_order(hosts, clients=20, frames=10, rounds=3)


async def test_client_that_is_in_on_one_host_hears_the_next_broadcast_that_begins_on_the_other(
    hosts: list[ContractServer], draw: Random
) -> None:
    await open_means_joined(hosts, draw, times=40)


async def test_exact_session_that_walks_from_host_to_host_loses_doubles_and_confuses_nothing(
    hosts: list[ContractServer], draw: Random
) -> None:
    assert await exact_walk(hosts, draw, walks=12) > 100


async def test_plain_session_that_walks_from_host_to_host_loses_only_what_was_under_way(
    hosts: list[ContractServer], draw: Random
) -> None:
    lost = await plain_walk(hosts, draw, walks=12)
    assert lost.sent > 60


async def test_each_newcomer_kicks_the_one_before_on_the_other_host_and_no_callbacks_overlap(
    hosts: list[ContractServer], draw: Random
) -> None:
    await one_after_the_other(hosts, draw, times=40)


async def test_of_two_newcomers_on_two_hosts_at_once_one_stays_and_no_callbacks_overlap(
    hosts: list[ContractServer], draw: Random
) -> None:
    await at_once(hosts, draw, times=20)


async def test_lines_that_are_cut_and_come_back_on_the_other_host_miss_nothing(
    tmp_path: Path,
) -> None:
    with with_lines(tmp_path) as served:
        crowd = Crowd(2, 4, reloads=0, rooms=3, period_s=0.3, floods=0, longest_life_s=1.0, languages=LANGUAGES)
        outcome, walks = await walking_lines(served, tmp_path, crowd)
    assert outcome.findings.faults == []
    assert outcome.findings.lost_living == outcome.findings.lost_away == 0, report(outcome)
    assert walks.total() >= 2 * len(LANGUAGES), report(outcome)
