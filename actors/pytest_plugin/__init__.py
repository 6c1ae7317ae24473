"""The pytest plugin: fixtures that run a server for a test. Installed as `_wspulse_pytest`, loaded by pytest itself.

It stands outside of the package `wspulse` and imports that only when a fixture is used: pytest loads plugins in every run
of an environment, before coverage starts to measure, and importing the server takes a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from wspulse.testing import BlockingServer

__all__ = ["wspulse_app", "wspulse_serve", "wspulse_server"]


@pytest.fixture
def wspulse_serve() -> Iterator[Callable[..., BlockingServer]]:
    """Start servers that end with the test: `running = wspulse_serve(server)`, with the arguments of wspulse.testing.serve."""
    from wspulse.testing import serve

    with ExitStack() as stack:

        def start(target: Any, **options: Any) -> BlockingServer:
            return stack.enter_context(serve(target, **options))

        yield start


@pytest.fixture
def wspulse_app() -> Any:
    """What `wspulse_server` runs: define a fixture of this name that returns your Server, "module:attr", or serve(...)."""
    pytest.fail(
        "wspulse_server needs a fixture named wspulse_app, in the test module or conftest.py, that returns your Server, "
        '"module:attr" or wspulse.testing.serve(...)',
        pytrace=False,
    )


@pytest.fixture
def wspulse_server(wspulse_app: Any) -> Iterator[BlockingServer]:
    """The running server of the fixture `wspulse_app`."""
    from wspulse.testing import serve

    with wspulse_app if isinstance(wspulse_app, serve) else serve(wspulse_app) as running:
        yield running
