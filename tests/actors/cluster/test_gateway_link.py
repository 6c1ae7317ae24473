"""`GatewayLink`: in which term of the host's lease a worker may decide."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from wspulse.actors.cluster.gateway_link import GatewayLink
from wspulse.actors.cluster.lease import Lease, lease_clock
from wspulse.supervisor.host.shared_file import SharedFile


@pytest.fixture
def lease() -> Iterator[Lease]:
    file = SharedFile()
    made = Lease(file.descriptor, writable=True)
    yield made
    made.close()
    file.close()


async def test_first_term_is_one_to_decide_in_at_once_and_a_later_one_when_all_is_claimed_anew(lease: Lease) -> None:
    link = GatewayLink("here", "", lease)
    assert not link.is_held()
    lease.begin_term(lease_clock() + 100)
    assert (link.is_held(), link.is_new_term) == (True, False)
    lease.extend(0.0)
    assert not link.is_held()
    lease.begin_term(lease_clock() + 100)
    assert (link.is_held(), link.is_new_term) == (False, True)
    link.begin_term()
    assert (link.is_held(), link.is_new_term) == (True, False)


async def test_worker_that_is_started_in_a_later_term_has_nothing_to_claim_anew(lease: Lease) -> None:
    for _ in range(2):
        lease.begin_term(lease_clock() + 100)
    link = GatewayLink("here", "", lease)
    assert link.is_held()
