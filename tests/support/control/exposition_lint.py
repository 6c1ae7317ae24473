"""What promtool says of a text for Prometheus, and a little more: what a label may be made of, and that histograms are ones.

`lint` reads the text by rules of its own, and never with the library that has written it.
"""

from __future__ import annotations

import re
from collections import defaultdict

__all__ = ["lint", "read"]

MOST_SERIES = 2000
"""Of a server of a few workers: what grows beyond grows with its clients."""

_SAMPLE = re.compile(r"([a-z_:][a-z0-9_:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-z_][a-z0-9_]*)="((?:[^"\\]|\\.)*)",?')

_FOREIGN_UNITS = ("milliseconds", "ms", "minutes", "hours", "kilobytes", "megabytes", "kb", "mb", "percent", "count")

LABELS = {"shard", "le", "version", "state", "result", "reason", "direction", "limit", "event"}
"""All of them are bounded by the server's own code, or by what the application registers."""

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(text: str) -> tuple[dict[str, str], dict[str, str], Series]:
    """Kinds and helps by name, and the values of all series. ValueError for what is no such text."""
    kinds: dict[str, str] = {}
    helps: dict[str, str] = {}
    series: Series = {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, _, help_text = line[7:].partition(" ")
            helps[name] = help_text
        elif line.startswith("# TYPE "):
            name, _, kind = line[7:].partition(" ")
            if name in kinds:
                raise ValueError(f"{name} has two types")
            kinds[name] = kind
        elif not line.startswith("#"):
            match = _SAMPLE.fullmatch(line)
            if match is None:
                raise ValueError(f"no sample: {line}")
            key = match[1], tuple(sorted(_LABEL.findall(match[2] or "")))
            if key in series:
                raise ValueError(f"twice: {line}")
            series[key] = float(match[3])
    return kinds, helps, series


def lint(text: str) -> list[str]:
    """What is wrong; empty for a text that is right."""
    kinds, helps, series = read(text)
    problems = [f"{name}: no help" for name in kinds if not helps.get(name, "").strip()]
    if len(series) > MOST_SERIES:
        problems.append(f"{len(series)} series")
    for name, kind in kinds.items():
        if not name.startswith("wspulse_"):
            problems.append(f"{name}: whose is it?")
        if kind not in ("counter", "gauge", "histogram"):
            problems.append(f"{name}: a {kind}")
        if (kind == "counter") != name.endswith("_total"):
            problems.append(f"{name}: a {kind} by this name")
        if name.removesuffix("_total").rpartition("_")[2] in _FOREIGN_UNITS:
            problems.append(f"{name}: base units are seconds and bytes")
        if kind == "histogram" and not name.endswith(("_seconds", "_bytes")):
            problems.append(f"{name}: a histogram without a unit")
    histograms: dict[tuple[str, tuple[tuple[str, str], ...]], list[tuple[float, float]]] = defaultdict(list)
    for (name, labels), value in series.items():
        family = name if name in kinds else re.sub("_(bucket|sum|count)$", "", name)
        if family not in kinds:
            problems.append(f"{name}: no type")
            continue
        if unknown := {label for label, _ in labels} - LABELS:
            problems.append(f"{name}: labels {sorted(unknown)}")
        if kinds[family] == "counter" and value < 0:
            problems.append(f"{name}: {value}")
        if name.endswith("_bucket") and kinds[family] == "histogram":
            bound = float(dict(labels)["le"])
            rest = tuple(label for label in labels if label[0] != "le")
            histograms[family, rest].append((bound, value))
    for (family, labels), buckets in histograms.items():
        counts = [count for _, count in sorted(buckets)]
        if counts != sorted(counts):
            problems.append(f"{family}{labels}: its buckets are not cumulative")
        if max(buckets)[0] != float("inf"):
            problems.append(f"{family}{labels}: no bucket for all")
        elif series.get((f"{family}_count", labels)) != counts[-1]:
            problems.append(f"{family}{labels}: the count is not that of the last bucket")
        if (f"{family}_sum", labels) not in series:
            problems.append(f"{family}{labels}: no sum")
    return problems
