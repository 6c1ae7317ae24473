"""What the last run of each row has seen, in a file from which scripts/generate-docs makes the table of
doc/inside/reliability.md."""

from __future__ import annotations

import json
from typing import Any

from bench.support.results import RESULTS, circumstances
from tests.support.chaos.row import Outcome

__all__ = ["FILE", "keep", "kept"]

FILE = RESULTS / "reliability" / "chaos.json"


def keep(outcome: Outcome) -> None:
    """In place of what an earlier run of that row has seen."""
    records = kept() | {outcome.name: {**outcome.as_record(), **circumstances()}}
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps(records, indent=1) + "\n")


def kept() -> dict[str, dict[str, Any]]:
    """By the row's name; empty where there has been no run."""
    found: dict[str, dict[str, Any]] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return found
