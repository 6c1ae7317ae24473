"""Servers for the contract's tests: each promise is tested with one worker and with four."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.contract import ContractServer, contract_server

RESUME_WINDOW_S = 30.0
"""Long enough that it never ends during a test that is not about its end."""

SHORT_WINDOW_S = 0.4


@pytest.fixture(scope="module", params=[1, 4], ids=["1 worker", "4 workers"])
def workers(request: pytest.FixtureRequest) -> int:
    count: int = request.param
    return count


@pytest.fixture(scope="module")
def plain(workers: int) -> Iterator[ContractServer]:
    """Without resumption."""
    with contract_server(workers) as server:
        yield server


@pytest.fixture(scope="module")
def resuming(workers: int) -> Iterator[ContractServer]:
    """A long resume window, a duplicate kicks."""
    with contract_server(workers, resume_window=RESUME_WINDOW_S, send_buffer_size=64) as server:
        yield server


@pytest.fixture(scope="module")
def expiring(workers: int) -> Iterator[ContractServer]:
    """A short resume window; the peer's 1000 ends the session."""
    with contract_server(workers, resume_window=SHORT_WINDOW_S, suspend_on_clean_close=False) as server:
        yield server


@pytest.fixture(scope="module")
def replacing(workers: int) -> Iterator[ContractServer]:
    """A duplicate takes the session over."""
    with contract_server(workers, resume_window=RESUME_WINDOW_S, on_duplicate="resume") as server:
        yield server


@pytest.fixture(scope="module")
def rejecting(workers: int) -> Iterator[ContractServer]:
    """A duplicate is refused."""
    with contract_server(workers, resume_window=RESUME_WINDOW_S, on_duplicate="reject") as server:
        yield server
