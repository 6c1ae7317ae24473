"""Two hosts with the contract's application, and a NATS server between them."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.contract.notes import Notes
from tests.support.contract.server import ROOT, ContractServer
from tests.support.contract.spread import serve_spread

__all__ = ["two_hosts"]


@contextmanager
def two_hosts(workers: int = 2, **options: Any) -> Iterator[list[ContractServer]]:
    """Each with so many workers; both have the same notes. `options` are those of `Server`, beside a long resume window and a
    buffer from which nothing is pushed out."""
    with tempfile.TemporaryDirectory(prefix="wspulse-hosts-") as folder:
        log = Path(folder) / "notes"
        log.touch()
        env = {
            "CONTRACT_LOG": str(log),
            "CONTRACT_OPTIONS": json.dumps({"resume_window": 60, "send_buffer_size": 4096, **options}),
            "CONTRACT_TRANSFERS": "1",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        app = "tests.support.contract.application.app:server"
        with serve_spread("--app", app, workers=2 * workers, env=env, cwd=ROOT) as hosts:
            notes = Notes(log)
            yield [ContractServer(host, workers, notes) for host in hosts]
