"""Servers for the contract's tests: each promise is tested with one worker, with four, and mounted under uvicorn.

`ASGI_CANNOT` names the tests whose promise an ASGI server keeps or breaks by itself, and why (doc/howto/http.md has the list
for users); `OF_ONE_HOST` those whose promise each of several hosts keeps for itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.contract.served import MOUNTED, ServedApplication, served_source
from tests.support.contract.server import ContractServer, contract_server
from tests.support.contract.spread import SPREAD, FirstOfSpread, Spread

RESUME_WINDOW_S = 30.0
"""Long enough that it never ends during a test that is not about its end."""

SHORT_WINDOW_S = 0.4

_ITS_HTTP = "the ASGI server reads the request, and answers what is no upgrade or not for us"
_ITS_FRAMES = "the ASGI server reads the frames: it answers violations, and tells us a close code"

ASGI_CANNOT = {
    "test_refused_upgrade_gets_its_answer[mounted-another HTTP version]": _ITS_HTTP,
    "test_refused_upgrade_gets_its_answer[mounted-another path]": _ITS_HTTP,
    "test_refused_upgrade_gets_its_answer[mounted-a malformed line on another path]": _ITS_HTTP,
    "test_refused_upgrade_gets_its_answer[mounted-no upgrade]": _ITS_HTTP,
    "test_refused_upgrade_gets_its_answer[mounted-another WebSocket version]": _ITS_HTTP,
    "test_refused_upgrade_gets_its_answer[mounted-a head that is too long]": _ITS_HTTP,
    "test_refused_upgrade_gets_its_answer[mounted-too many headers]": _ITS_HTTP,
    "test_handler_that_raises_more_than_an_exception_ends_its_session_and_not_its_worker[mounted-interrupt-KeyboardInterrupt]": (
        "a KeyboardInterrupt goes on to the ASGI server"
    ),
    "test_health_check_answers_ok": _ITS_HTTP,
    "test_client_that_ends_its_side_behind_its_request_gets_its_answer": _ITS_HTTP,
    "test_head_that_does_not_come_in_time_gets_408": _ITS_HTTP,
    "test_upgrade_in_flight_during_the_servers_end_is_answered_503": _ITS_HTTP,
    "test_every_upgrade_is_answered_and_nothing_sent_with_it_is_lost": "uvicorn drops what comes with the request",
    "test_no_extension_is_negotiated": "uvicorn compresses unless told not to",
    "test_client_gets_what_it_offers_from_the_worker_that_owns_its_id": "uvicorn agrees on what it likes",
    "test_compressed_violation_is_answered_with_its_code_and_harms_nobody": _ITS_FRAMES,
    "test_peer_without_pongs_is_dropped_with_1011": "the heartbeat is the ASGI server's",
    "test_peer_that_answers_no_ping_is_dropped_whatever_else_it_sends": "the heartbeat is the ASGI server's",
    "test_control_socket_tells_of_presence_with_the_applications_state": "a mounted server has no control socket",
    "test_kick_of_a_peer_that_does_not_read_resets_its_connection": "the socket is the ASGI server's",
    "test_peer_that_half_closes_after_asking_gets_its_answer": "the socket is the ASGI server's",
    "test_violation_is_answered_with_its_code_and_reported[mounted-an unmasked frame]": _ITS_FRAMES,
    "test_violation_is_answered_with_its_code_and_reported[mounted-a reserved bit]": _ITS_FRAMES,
    "test_violation_is_answered_with_its_code_and_reported[mounted-an unknown opcode]": _ITS_FRAMES,
    "test_violation_is_answered_with_its_code_and_reported[mounted-invalid UTF-8]": _ITS_FRAMES,
    "test_violation_is_answered_with_its_code_and_reported[mounted-invalid UTF-8 in a field that nobody reads]": _ITS_FRAMES,
    "test_violation_is_answered_with_its_code_and_reported[mounted-a claim of a huge message]": _ITS_FRAMES,
    "test_violation_is_answered_with_its_code_and_reported[mounted-a message over the limit]": "it waits 10 s for the answer",
    "test_what_a_peer_sent_before_a_violation_is_handled_and_answered": _ITS_FRAMES,
    "test_server_close_ends_suspended_and_connected_sessions": "the process, and its exit code, are the ASGI server's",
    "test_dials_without_end_while_the_server_closes_are_each_served_and_ended_or_refused": "the process is the ASGI server's",
    "test_closing_the_server_from_inside_a_handler_ends_everybody_and_the_processes": "the process is the ASGI server's",
}

_ENDS = "close() and a signal end one host, and its sessions; those of the others stay"

OF_ONE_HOST = {
    "test_closing_the_server_from_inside_a_handler_ends_everybody_and_the_processes": _ENDS,
    "test_dials_without_end_while_the_server_closes_are_each_served_and_ended_or_refused": _ENDS,
    "test_server_close_ends_suspended_and_connected_sessions": _ENDS,
    "test_what_was_acknowledged_is_handled_when_the_server_closes": _ENDS,
}
"""Where there are several hosts, these dial the first one alone (`workers_of_one_host`). All others hold whichever host a client
comes to."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the mounted form of what ASGI cannot express."""
    left_out = [item for item in items if _is_for_sockets_only(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _is_for_sockets_only(item: pytest.Item) -> bool:
    name = getattr(item, "originalname", item.name)
    if os.environ.get("CONTRACT_HTTP_LOAD") and "another path" in item.name:
        return True  # the HTTP application's to answer
    return "[mounted" in item.name and (item.name in ASGI_CANNOT or name in ASGI_CANNOT)


@pytest.fixture(scope="module", params=[1, 4, MOUNTED, SPREAD], ids=["1 worker", "4 workers", "mounted", "2 hosts"])
def workers(request: pytest.FixtureRequest) -> int:
    count: int = request.param
    return count


@pytest.fixture
def workers_of_one_host(request: pytest.FixtureRequest, workers: int) -> int:
    """For a server that the test starts and ends: see OF_ONE_HOST."""
    assert request.node.originalname in OF_ONE_HOST, "say why it differs"
    return FirstOfSpread(workers) if isinstance(workers, Spread) else workers


@pytest.fixture(scope="module")
def served(
    request: pytest.FixtureRequest, workers: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedApplication]:
    """The application that the test's module has as text, in APP."""
    with served_source(request.module.APP, tmp_path_factory.mktemp("app"), workers) as server:
        yield server


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
