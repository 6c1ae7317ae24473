"""One NATS server for a test; its streams are gone with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes.nats_servers import NatsServers, nats_servers
from wspulse.supervisor.cluster.feed import watch


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[NatsServers]:
    with nats_servers(tmp_path) as running:
        yield running


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Feeds look at their streams ten times a second, not once."""
    monkeypatch.setattr(watch, "_LOOK_S", 0.1)
