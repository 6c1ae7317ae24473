"""The last soak, in a file from which scripts/generate-docs makes its part of doc/inside/reliability.md, and the plot."""

from __future__ import annotations

import json
from typing import Any

from bench.support.line_chart import lines
from bench.support.results import RESULTS, circumstances
from tests.support.soak.run import Outcome
from tests.support.soak.samples import Sample

__all__ = ["FILE", "PLOT", "keep", "kept", "plot"]

FILE = RESULTS / "reliability" / "soak.json"
PLOT = FILE.with_suffix(".svg")

PANELS = {
    "rss": "resident memory, MB",
    "descriptors": "descriptors",
    "p50": "median of the round trips, ms",
    "p99": "99th percentile of the round trips, ms",
    "lag": "worst lag of a worker's loop, ms",
}


def keep(outcome: Outcome) -> None:
    """In place of an earlier one. A sample is a line."""
    record = {"name": "soak", **circumstances(), **outcome.as_record()}
    samples = ",\n".join(json.dumps(sample) for sample in record.pop("samples"))
    rest = json.dumps(record, indent=1).removesuffix("\n}")
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(f'{rest},\n "samples": [\n{samples}\n]}}\n')


def kept() -> dict[str, Any] | None:
    """None where there has been none."""
    return json.loads(FILE.read_text()) if FILE.exists() else None


def plot(record: dict[str, Any]) -> str:
    """The samples over minutes, as a picture; those while workers are replaced are left out."""
    rows = []
    for sample in map(Sample.of, record["samples"]):
        if sample.is_reloading:
            continue
        at = sample.at_s / 60
        for title, process in sorted(sample.processes.items()):
            rows.append({"series": title, "at": at, "rss": process.rss_mb, "descriptors": process.descriptors})
        rows.append({"series": "round trips", "at": at, "p50": sample.p50_ms, "p99": sample.p99_ms})
        rows.append({"series": "loops", "at": at, "lag": sample.loop_lag_ms})
    rows.sort(key=lambda row: str(row["series"]))
    over = {"axis": "minutes", "panels": PANELS, "log": False}
    return lines({"name": "soak", "machine": record["machine"], "rows": rows, "over": over})
