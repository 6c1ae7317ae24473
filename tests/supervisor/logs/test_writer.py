"""Lines on their way to a descriptor that nobody reads, that is full, gone, or shared."""

from __future__ import annotations

import errno
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.support.processes.server_process import wait_until
from wspulse.supervisor.logs.writer import LineWriter

MOST_BYTES = 20_000


def note(count: int) -> bytes:
    return b"%d dropped\n" % count


@contextmanager
def writing(fd: int, most_waiting_bytes: int = MOST_BYTES) -> Iterator[LineWriter]:
    writer = LineWriter(fd, note, most_waiting_bytes=most_waiting_bytes)
    try:
        yield writer
    finally:
        writer.close(5)
        assert not writer._thread.is_alive()


class Pipe:
    """`read` takes what comes until `writer.close` has closed the other end."""

    def __init__(self) -> None:
        self.reader, self.fd = os.pipe()

    def fill(self) -> int:
        """Until not a byte more goes in; returns how many did."""
        os.set_blocking(self.fd, False)
        count = 0
        try:
            while True:
                count += os.write(self.fd, b"." * 4096)
        except BlockingIOError:
            os.set_blocking(self.fd, True)
            return count

    def read_to_end(self) -> bytes:
        data = b""
        while chunk := os.read(self.reader, 65536):
            data += chunk
        return data


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    os.close(made.reader)


def collected(pipe: Pipe) -> Callable[[], bytes]:
    """Read from now on; the result, once the writing end is closed."""
    data: list[bytes] = []
    thread = threading.Thread(target=lambda: data.append(pipe.read_to_end()))
    thread.start()

    def result() -> bytes:
        os.close(pipe.fd)
        thread.join(10)
        return data[0]

    return result


def test_lines_come_in_their_order(pipe: Pipe) -> None:
    reading = collected(pipe)
    with writing(pipe.fd) as writer:
        for number in range(100):
            writer.write(b"%d\n" % number)
        assert writer.flush(5)
    assert reading() == b"".join(b"%d\n" % number for number in range(100))


def test_lines_that_nobody_takes_are_dropped_and_told_of_where_they_are_missing(pipe: Pipe) -> None:
    filled = pipe.fill()
    with writing(pipe.fd) as writer:
        before = time.monotonic()
        for number in range(20_000):
            writer.write(b"line %d\n" % number)
        assert time.monotonic() - before < 5
        assert writer._queue.qsize() < 200
        reading = collected(pipe)
        assert writer.flush(5)
    lines = reading()[filled:].decode().splitlines()
    *whole, told = lines
    assert whole == [f"line {number}" for number in range(len(whole))]
    assert told == f"{20_000 - len(whole)} dropped"


def test_count_of_lines_dropped_at_several_times_is_exact(pipe: Pipe) -> None:
    """The pipe is read a little, now and then."""
    with writing(pipe.fd) as writer:
        data = b""
        for _round in range(20):
            for _ in range(1_000):
                writer.write(b"a line of some length, of which the pipe takes some\n")
            data += os.read(pipe.reader, 5_000)
        reading = collected(pipe)
        assert writer.flush(5)
    text = (data + reading()).decode()
    told = [int(count) for count in re.findall(r"^(\d+) dropped$", text, re.MULTILINE)]
    assert len(told) > 1
    assert sum(told) + text.count("a line of some length") == 20_000


def test_flush_gives_up_when_nobody_reads(pipe: Pipe) -> None:
    with writing(pipe.fd) as writer:
        writer.write(b"x" * 100_000)
        before = time.monotonic()
        assert not writer.flush(0.1)
        assert time.monotonic() - before < 3
        reading = collected(pipe)
    reading()


def test_line_longer_than_the_bound_is_taken_when_nothing_waits(pipe: Pipe) -> None:
    reading = collected(pipe)
    with writing(pipe.fd) as writer:
        writer.write(b"x" * 200_000 + b"\n")
        assert writer.flush(5)
    assert len(reading()) == 200_001


def test_descriptor_that_somebody_made_nonblocking_gets_every_line(pipe: Pipe) -> None:
    os.set_blocking(pipe.fd, False)
    with writing(pipe.fd, 1_000_000) as writer:
        for _ in range(3):
            writer.write(b"x" * 99_999 + b"\n")
        assert not writer.flush(0.1)
        reading = collected(pipe)
        assert writer.flush(5)
    assert len(reading()) == 300_000


def test_lines_for_a_full_disk_are_told_of_when_it_has_room(pipe: Pipe) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with writing(full) as writer:
        for _ in range(3):
            writer.write(b"lost\n")
        assert writer.flush(5)
        os.dup2(pipe.fd, full)
        writer.write(b"written\n")
        assert writer.flush(5)
    os.close(full)
    os.close(pipe.fd)
    assert pipe.read_to_end() == b"3 dropped\nwritten\n"


def test_terminal_that_was_closed_is_left_by_all_that_print_to_it() -> None:
    ours, theirs = os.openpty()
    os.close(ours)
    with pytest.raises(OSError, match="Input/output"):
        os.write(theirs, b"x")
    with writing(theirs) as writer:
        writer.write(b"lost\n")
        assert writer.flush(5)
        assert os.write(theirs, b"x") == 1
    os.close(theirs)


def test_terminal_that_cannot_be_left_for_want_of_a_descriptor_is_left_at_a_later_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = os.openpty()
    os.close(ours)

    def refuse(_path: str, _flags: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with writing(theirs) as writer:
        with monkeypatch.context() as short:
            short.setattr(os, "open", refuse)
            writer.write(b"lost\n")
            assert writer.flush(5)
        writer.write(b"lost too\n")
        assert writer.flush(5)
        assert os.write(theirs, b"x") == 1
    os.close(theirs)


def test_child_of_a_fork_writes_its_lines_itself_and_none_of_its_parents(pipe: Pipe) -> None:
    with writing(pipe.fd) as writer:
        os.set_blocking(pipe.reader, False)
        writer.write(b"the parent's\n")
        assert writer.flush(5)
        child = os.fork()
        if child == 0:
            writer.write(b"the child's\n")
            os._exit(0 if writer.flush(5) else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert os.read(pipe.reader, 1000) == b"the parent's\nthe child's\n"
    os.close(pipe.fd)


def test_writer_waits_for_lines_without_a_turn(pipe: Pipe) -> None:
    with writing(pipe.fd) as writer:
        writer.write(b"x\n")
        wait_until(lambda: writer._done_bytes > 0, 5, "the line is written")
    os.close(pipe.fd)
