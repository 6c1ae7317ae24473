"""What holds for every test: coroutines run in a fresh uvloop, and nothing is left behind.

A test may be `async def`; it then runs in an event loop of its own, and fails when a task or a timer is still pending at
its end or when the loop reported an exception that nobody took. After every test, and after every module for what its
tests share, the descriptors, the child processes and the files in the temporary folder and in the runtime directory are
compared with those before it. How, is in `tests.support.leaks`.

Tests marked `race` take the fixture `race_rounds`, set by `--race-rounds`. A test that draws anything takes `draw`; a
failure shows the seed, which `--seed` gives back.
"""

from __future__ import annotations

import asyncio
import inspect
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random, SystemRandom

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from tests.support.leaks import Belongings, own_folders, run_coroutine

settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")
"""Others run beside these tests: that an example takes long says nothing."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--race-rounds", type=int, default=5, metavar="N", help="how often tests marked `race` run their race"
    )
    parser.addoption(
        "--seed", type=int, metavar="SEED", help="draw what tests draw from this seed, which a failure has shown"
    )


LONGEST = [Path(__file__).parent / name for name in ("process", "conformance", "examples")]
"""Folders whose files wait long. They come first, so that no process is left with one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        return next((place for place, folder in enumerate(LONGEST) if folder in item.path.parents), len(LONGEST))

    items.sort(key=place)


def pytest_sessionstart() -> None:
    """Opens what libuv opens once per process and keeps, lest it count as the first test's leak."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.sleep(0))


@pytest.fixture
def race_rounds(request: pytest.FixtureRequest) -> int:
    """How often a test marked `race` repeats its race."""
    rounds: int = request.config.getoption("--race-rounds")
    return rounds


@pytest.fixture
def draw(request: pytest.FixtureRequest) -> Random:
    """The dice of a test. What it drew is drawn again with the seed that a failure shows."""
    seed: int | None = request.config.getoption("--seed")
    if seed is None:
        seed = SystemRandom().randrange(2**32)
    print(f"what was drawn is drawn again with --seed {seed}")  # pytest shows it for a test that fails
    return Random(seed)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    function = pyfuncitem.obj
    if not inspect.iscoroutinefunction(function):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    run_coroutine(function, {name: pyfuncitem.funcargs[name] for name in names}, _limit_s(pyfuncitem))
    return True


def _limit_s(item: pytest.Function) -> float:
    """How long a coroutine test may take: a little less than pytest-timeout allows, whose exception uvloop would swallow."""
    marker = item.get_closest_marker("timeout")
    limit = marker.args[0] if marker else item.config.getoption("timeout") or item.config.getini("timeout")
    return 0.9 * float(limit)


@pytest.fixture(scope="session", autouse=True)
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The session's own temporary folder and runtime directory."""
    tmp_path_factory.getbasetemp()  # where pytest always has it: it is kept for looking into after the session
    with own_folders() as both:
        yield both


@pytest.fixture
def tmp_path(folders: tuple[Path, Path]) -> Iterator[Path]:
    """A folder of the test's own, as pytest's, but gone with the test, and with a short path: many put Unix sockets there,
    whose paths are short, or a server's runtime directory, for which a longer path is not taken."""
    with tempfile.TemporaryDirectory(prefix="t", dir=folders[0]) as folder:
        yield Path(folder)


@pytest.fixture(scope="module", autouse=True)
def nothing_left_by_the_module(folders: tuple[Path, Path]) -> Iterator[None]:
    """Fails the last test of a module whose shared servers leave descriptors, child processes or files behind."""
    before = Belongings.now(*folders)
    yield
    before.assert_no_more(*folders)


@pytest.fixture(autouse=True)
def nothing_left_behind(folders: tuple[Path, Path], nothing_left_by_the_module: None) -> Iterator[None]:
    """Fails a test that leaves descriptors, child processes or files behind."""
    before = Belongings.now(*folders)
    yield
    before.assert_no_more(*folders)
