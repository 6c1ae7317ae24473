"""Processes that become ours when their parents end, in a process of the test's that adopts them as process 1 does."""

from __future__ import annotations

import subprocess
import sys

from wspulse.supervisor.process.watching.adopted import adopts_processes, reap_adopted

ADOPTER = """
import ctypes, os, time
from wspulse.supervisor.process.watching.adopted import adopts_processes, reap_adopted

def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)

def is_zombie(pid):
    return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] == "Z"

assert not adopts_processes()
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
assert adopts_processes()
assert reap_adopted(()) == 0, "there is nobody"

# A child that leaves a child of its own, which ends later; and a worker.
gate, release = os.pipe()
told, tell = os.pipe()
child = os.fork()
if child == 0:
    os.close(release)
    grandchild = os.fork()
    if grandchild == 0:
        os.read(gate, 1)
        os._exit(3)
    os.write(tell, str(grandchild).encode())
    os._exit(0)
os.waitpid(child, 0)
grandchild = int(os.read(told, 20))
worker = os.fork()
if worker == 0:
    os.close(release)
    os.read(gate, 1)
    os._exit(7)
assert reap_adopted({worker}) == 0, "both run"
os.close(release)
until(lambda: is_zombie(grandchild) and is_zombie(worker))
reap_adopted({worker})
assert os.waitpid(worker, 0)[1] == 7 << 8, "its exit code was left to whoever watches it"
reap_adopted(())
assert not os.path.exists(f"/proc/{grandchild}")
print("right")
"""


def test_process_that_its_parent_left_behind_is_waited_for_and_a_worker_is_not() -> None:
    done = subprocess.run([sys.executable, "-c", ADOPTER], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("right\n", "")


def test_process_that_adopts_nobody_knows_it() -> None:
    assert not adopts_processes()
    assert reap_adopted(()) == 0
