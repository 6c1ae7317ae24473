"""The file in which workers count connections, as the supervisor and its workers have it."""

from __future__ import annotations

import os
from multiprocessing import get_context

from wspulse.actors.limits.counts import words_for
from wspulse.actors.limits.shared_memory import counts_shared
from wspulse.supervisor.host.connection_counts import ConnectionCounts
from wspulse.supervisor.host.shared_file import SharedFile


def _count(file: SharedFile, seat: int) -> None:
    counts = counts_shared(file.descriptor, seat)
    for key in (7, 7, 8, 0):
        counts.add(key)


def test_what_a_process_has_counted_is_seen_by_others_until_its_seat_is_cleared() -> None:
    server = ConnectionCounts()
    server.open(0)
    mine = counts_shared(server.file.descriptor, 0)
    mine.add(7)
    for seat in (1, 2):
        server.open(seat)
        process = get_context("spawn").Process(target=_count, args=(server.file, seat))
        process.start()
        process.join(30)
        assert process.exitcode == 0
        process.close()
    assert (mine.total(), mine.of(7), mine.of(8)) == (9, 5, 2)
    server.clear(1)
    assert (mine.total(), mine.of(7), mine.of(8)) == (5, 3, 1)
    server.open(2)
    assert (mine.total(), mine.of(7), mine.of(8)) == (1, 1, 0)
    server.close()


def test_seats_that_nobody_counts_at_take_no_memory() -> None:
    server = ConnectionCounts()
    for seat in range(64):
        server.open(seat)
        server.clear(seat)
    status = os.fstat(server.file.descriptor)
    assert status.st_size == 8 * words_for(64)
    assert status.st_blocks * 512 <= 4096
    server.close()
    server.close()
