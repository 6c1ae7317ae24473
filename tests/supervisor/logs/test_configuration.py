"""All that a process says comes out as lines of the log, whatever the application does to logging."""

from __future__ import annotations

import atexit
import gc
import logging
import logging.config
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator

import pytest

from wspulse.supervisor.logs import configuration
from wspulse.supervisor.logs.configuration import configure_logs, tell


@pytest.fixture(autouse=True)
def process_is_put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning = hooks
    configuration._handlers.clear()


@pytest.fixture
def said() -> Iterator[Callable[[], list[str]]]:
    """The lines that were logged, once they are written; the logs are configured."""
    reader, fd = os.pipe()
    writer = configure_logs("info", "text", "worker 2", fd)

    def lines() -> list[str]:
        assert writer.flush(5)
        os.set_blocking(reader, False)
        return os.read(reader, 100_000).decode().splitlines()

    yield lines
    atexit.unregister(writer.flush)
    writer.close(5)
    os.close(reader)
    os.close(fd)


def log_alone() -> None:
    """Without pytest's handlers, which take records too."""
    logging.getLogger().handlers[:] = configuration._handlers


def test_level_leaves_out_what_is_below(said: Callable[[], list[str]]) -> None:
    logging.getLogger("wspulse").debug("quiet")
    logging.getLogger("app").info("loud")
    (line,) = said()
    assert line.endswith("info     worker 2: loud [app]")


def test_line_without_a_record_comes_behind_what_was_logged(said: Callable[[], list[str]]) -> None:
    logging.getLogger("wspulse").info("first")
    tell("wspulse: --port: it is wrong")
    first, second = said()
    assert first.endswith("info     worker 2: first [wspulse]")
    assert second == "wspulse: --port: it is wrong"


def test_line_for_the_person_is_printed_where_no_logs_are(capfd: pytest.CaptureFixture[str]) -> None:
    tell("wspulse: no")
    assert capfd.readouterr().err == "wspulse: no\n"


def test_record_that_cannot_be_shown_is_told_of_in_a_line(said: Callable[[], list[str]]) -> None:
    log_alone()
    logging.getLogger("app").info("%d", "no number")
    (line,) = said()
    assert "a log record cannot be formatted" in line
    assert "error=TypeError" in line
    assert "test_configuration.py" in line


def test_application_that_configures_logging_without_a_root_leaves_ours_at_work(said: Callable[[], list[str]]) -> None:
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    logging.getLogger("wspulse").warning("still here")
    (line,) = said()
    assert "still here" in line


def test_exception_of_a_thread_is_one_record(said: Callable[[], list[str]]) -> None:
    def fail() -> None:
        raise ValueError("x\nforged")

    thread = threading.Thread(target=fail, name="mine")
    thread.start()
    thread.join()
    lines = said()
    assert "a thread ended with an exception (thread_name=mine)" in lines[0]
    assert lines[-1] == "ValueError: x\\nforged"


def test_exception_where_none_can_come_is_one_record(said: Callable[[], list[str]]) -> None:
    class Failing:
        def __del__(self) -> None:
            raise ValueError("x\nforged")

    Failing()
    gc.collect()
    lines = said()
    assert "an exception was raised where nobody can catch it" in lines[0]
    assert lines[-1] == "ValueError: x\\nforged"


def test_warning_is_one_record(said: Callable[[], list[str]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = configuration._log_warning
        warnings.warn("x\nforged", UserWarning, stacklevel=1)
    (line,) = said()
    assert "warning  worker 2: a Python warning (category=UserWarning, text=x\\nforged, where=" in line


def test_uncaught_exception_is_one_record(said: Callable[[], list[str]]) -> None:
    sys.excepthook(ValueError, ValueError("x\nforged"), None)
    lines = said()
    assert "critical worker 2: a process of the server failed" in lines[0]
    assert lines[-1] == "ValueError: x\\nforged"


def test_signals_handler_may_log_in_the_middle_of_a_line(said: Callable[[], list[str]]) -> None:
    class Slow:
        def __str__(self) -> str:
            os.kill(os.getpid(), signal.SIGUSR1)
            return "outer"

    log_alone()
    before = signal.signal(signal.SIGUSR1, lambda *_: logging.getLogger("app").info("inner"))
    try:
        logging.getLogger("app").info("%s", Slow())
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert sorted(line.split(": ")[1] for line in said()) == ["inner [app]", "outer [app]"]


FULL = """
import logging, sys
from wspulse.supervisor.logs.configuration import configure_logs
configure_logs("info", "text", "worker 2")
for _ in range(100_000):
    logging.getLogger("app").info("a line")
print("done", flush=True)
"""


def test_process_whose_log_nobody_reads_ends_soon() -> None:
    reader, writer = os.pipe()
    try:
        ended = subprocess.run(
            [sys.executable, "-c", FULL], stdout=subprocess.PIPE, stderr=writer, timeout=20, check=False
        )
        assert (ended.returncode, ended.stdout) == (0, b"done\n")
    finally:
        os.close(reader)
        os.close(writer)


def test_process_that_ends_by_an_exception_has_written_it_and_all_before() -> None:
    program = FULL.replace("100_000", "1_000") + "raise ValueError('the last')"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count("a line") == 1_000
    assert ended.stderr.endswith("ValueError: the last\n")
