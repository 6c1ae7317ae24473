"""What every test is checked for, in a pytest run of its own: what is left behind fails the test that left it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

CONFTEST = """
from tests.support import leaks

leaks.LEAK_DEADLINE_S = 0.2  # what is left here stays
"""

TESTS = """
import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ENDED_WITH_US, ours = os.pipe()
kept = []

def late() -> None:
    pass

async def test_timer():
    asyncio.get_running_loop().call_later(60, late)

async def test_timer_at():
    loop = asyncio.get_running_loop()
    loop.call_at(loop.time() + 60, late)

async def test_repeating_timer():
    def again():
        asyncio.get_running_loop().call_later(60, late)
    asyncio.get_running_loop().call_later(0.001, again)
    await asyncio.sleep(0.01)

async def test_task():
    kept.append(asyncio.create_task(asyncio.sleep(60)))

def test_descriptor():
    kept.append(open("/dev/null"))

def test_child():
    kept.append(subprocess.Popen(["cat"], stdin=ENDED_WITH_US))

def test_temporary_file():
    os.close(tempfile.mkstemp(prefix="left-")[0])

def test_file_in_the_runtime_directory():
    (Path(os.environ["XDG_RUNTIME_DIR"]) / "wspulse" / "8000").mkdir()

def test_file_of_a_child():
    program = "import tempfile; tempfile.mkdtemp(prefix='left-')"
    subprocess.run([sys.executable, "-c", program], check=True)

async def test_nothing():
    loop = asyncio.get_running_loop()
    loop.call_later(60, late).cancel()
    fired = loop.create_future()
    kept.append(loop.call_later(0.001, fired.set_result, None))
    await fired
    await asyncio.create_task(asyncio.sleep(0))
    with open("/dev/null"), tempfile.TemporaryDirectory():
        subprocess.run(["true"], check=True)

def test_nothing_of_an_earlier_test():
    pass

def test_last():
    pass
"""

MODULE = """
import tempfile

import pytest

@pytest.fixture(scope="module")
def server():
    folder = tempfile.mkdtemp(prefix="left-by-the-module-")
    yield
    assert folder

def test_with_the_modules_server(server):
    pass
"""

LEFT = {
    "test_timer": r"timers are left: \[<function late",
    "test_timer_at": r"timers are left: \[<function late",
    "test_repeating_timer": r"timers are left: \[<function late",
    "test_task": "tasks are still pending: .*sleep",
    "test_descriptor": "descriptors are left: .*/dev/null",
    "test_child": r"child processes are left: \['\d+ cat'\]",
    "test_temporary_file": "files are left: .*/tmp/left-",
    "test_file_in_the_runtime_directory": "files are left: .*/run/wspulse/8000",
    "test_file_of_a_child": "files are left: .*/tmp/left-",
    "test_last": r"child processes are left: \['\d+ cat'\]",
    "test_with_the_modules_server": "files are left: .*/tmp/left-by-the-module-",
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The failures of the run, by test."""
    folder = tmp_path_factory.mktemp("leaks")
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_left.py").write_text(TESTS)
    (folder / "test_module.py").write_text(MODULE)
    (folder / "pytest.ini").write_text("[pytest]\ntimeout = 60\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "--tb=short", "-vv"]
    finished = subprocess.run(
        [*command, f"--basetemp={folder / 'basetemp'}", str(folder)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert f"collected {len(LEFT) + 2} items" in finished.stdout, finished.stdout + finished.stderr
    parts = re.split(r"^_+ (?:ERROR at teardown of )?(test_\w+) _+$", finished.stdout, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("name", LEFT)
def test_what_is_left_fails_the_test_that_left_it(report: dict[str, str], name: str) -> None:
    assert re.search(LEFT[name], report[name])


def test_test_that_leaves_nothing_passes_after_those_that_did(report: dict[str, str]) -> None:
    assert report.keys() == LEFT.keys(), "these failed, and no others"


def test_session_has_folders_of_its_own_and_removes_them(folders: tuple[Path, Path], report: dict[str, str]) -> None:
    temporary, runtime = folders
    assert Path(tempfile.gettempdir()) == temporary
    assert os.environ["XDG_RUNTIME_DIR"] == str(runtime)
    assert list(temporary.glob("wst-*")) == [], "the folders of the run of this test"
