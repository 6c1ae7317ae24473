"""`Lease`: a page that says until when, and a clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from wspulse.actors.cluster.lease import Lease, lease_clock
from wspulse.supervisor.host.shared_file import SharedFile


@pytest.fixture
def file() -> Iterator[SharedFile]:
    shared = SharedFile()
    yield shared
    shared.close()


@pytest.fixture
def lease(file: SharedFile) -> Iterator[Lease]:
    made = Lease(file.descriptor, writable=True)
    yield made
    made.close()


def test_lease_is_held_until_its_time_in_all_processes_that_have_its_page(lease: Lease, file: SharedFile) -> None:
    workers = Lease(file.descriptor)
    assert not workers.is_held()
    assert workers.term == 0
    lease.begin_term(lease_clock() + 100)
    assert workers.is_held()
    assert workers.term == 1
    lease.extend(lease_clock())
    assert not workers.is_held()
    lease.begin_term(lease_clock() + 100)
    assert workers.is_held()
    assert workers.term == 2
    lease.extend(0.0)
    assert not workers.is_held()
    assert workers.until == 0.0
    workers.close()


def test_worker_cannot_extend_it(lease: Lease, file: SharedFile) -> None:
    workers = Lease(file.descriptor)
    with pytest.raises(TypeError, match="read-only"):
        workers.extend(lease_clock() + 100)
    assert not lease.is_held()
    workers.close()


def test_page_outlives_the_process_that_extended_it(lease: Lease, file: SharedFile) -> None:
    lease.begin_term(lease_clock() + 100)
    successor = Lease(file.descriptor, writable=True)
    assert successor.is_held()
    assert successor.term == 1
    successor.close()


WATCHING = """
import sys, time
from wspulse.actors.cluster.lease import Lease
lease = Lease(int(sys.argv[1]))
print("ready", flush=True)
while not lease.is_held():
    pass
last = time.monotonic()
print("held", flush=True)
while (now := time.monotonic()) - last < 0.5:
    last = now
print(lease.is_held(), flush=True)
"""
"""Says what the lease is in the first instant after it was stopped for longer than its turns take."""


def test_process_that_was_stopped_sees_it_over_in_the_first_instant(lease: Lease, file: SharedFile) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WATCHING, str(file.descriptor)], stdout=subprocess.PIPE, pass_fds=[file.descriptor]
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
        lease.begin_term(lease_clock() + 1.0)
        assert worker.stdout.readline() == b"held\n"
        os.kill(worker.pid, signal.SIGSTOP)
        time.sleep(max(0.6, lease.until - lease_clock()))
        os.kill(worker.pid, signal.SIGCONT)
        assert worker.stdout.readline() == b"False\n"
        assert worker.wait(10) == 0
