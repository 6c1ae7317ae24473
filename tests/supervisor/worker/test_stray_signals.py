"""Signals that a worker passes over, and the child that it forks does not."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import faulthandler, os, signal, sys, time
from wspulse.supervisor.worker.signal_stack import enlarge_signal_stack
from wspulse.supervisor.worker.stray_signals import PASSED_OVER, STRAY_SIGNALS, pass_over_signals

pass_over_signals()
faulthandler.enable()
enlarge_signal_stack()
number = int(sys.argv[1])
if number:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b"x")
        time.sleep(10)
        os._exit(0)
    os.read(reader, 1)
    os.kill(os.getpid(), number)
    os.kill(child, number)
    print(-os.WTERMSIG(os.waitpid(child, 0)[1]))
else:
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_OVER)
    for number in PASSED_OVER:
        os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_OVER)
    print(len(STRAY_SIGNALS))
"""


def run(number: int) -> tuple[int, str]:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(number)], capture_output=True, text=True, timeout=20, check=False
    )
    return ended.returncode, ended.stdout


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGALRM, signal.SIGRTMIN + 3])
def test_stray_signal_ends_the_child_of_a_fork_and_not_its_parent(number: int) -> None:
    assert run(number) == (0, f"{-number}\n")


def test_all_that_wait_at_once_are_passed_over() -> None:
    code, printed = run(0)
    assert code == 0
    assert int(printed) >= 40
