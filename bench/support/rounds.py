"""Measuring: every variant takes its turn in every round, and the median over the rounds counts.

The machine is rarely alone: clocks change and caches are shared, but a round's variants follow one another within seconds.
A figure is therefore given with its ratio to the floor of the same run; the ratio is the more reliable one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.support.native import native
from bench.support.results import save
from bench.support.subjects import Running, Subject

__all__ = ["Arguments", "Case", "Over", "arguments", "connected", "load", "measure_cases", "progress"]

Measure = Callable[[Running], dict[str, Any]]

LOAD_DEADLINE_S = 180.0


@dataclass
class Case:
    """One variant: what is measured, and how. `measure` returns at least `figure`, the number that counts."""

    name: str
    subject: Subject
    measure: Measure
    floor: str | None = None
    """The case whose figure is the floor of this one."""
    limit: float | None = None
    """How many times the floor is allowed; without a floor, how much."""
    aim: float | None = None
    """The next mountain, in the same measure."""
    note: str = ""
    at: float | None = None
    """Where it is on the axis of the question's line chart, where that has one."""


@dataclass
class Over:
    """What a line chart of a question's rows shows: a panel for each of some of the row's values, over `at`."""

    axis: str
    panels: dict[str, str]
    """The row's key and what its axis is called, unit included."""
    log: bool = False
    """Values over several powers of ten, all panels on one scale."""


@dataclass
class Arguments:
    rounds: int
    peers: bool
    only: list[str] = field(default_factory=list)


def arguments(question: str | None) -> Arguments:
    parser = argparse.ArgumentParser(description=question, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds, whose median counts (default 5)")
    parser.add_argument("--no-peers", action="store_true", help="our own figures and the floor only")
    parser.add_argument("--only", action="append", default=[], help="a case's name; may be repeated")
    found = parser.parse_args()
    return Arguments(found.rounds, not found.no_peers, found.only)


def load(running: Running, mode: str, *options: object) -> list[dict[str, Any]]:
    """Run the load generator against a server; its lines. SystemExit with its sentence when anything was lost or wrong."""
    with _generator(running, mode, *options) as process:
        out, errors = process.communicate(timeout=LOAD_DEADLINE_S)
    _expect_success(process, errors)
    return [json.loads(line) for line in out.splitlines()]


@contextmanager
def connected(running: Running, connections: int, first: int = 0) -> Iterator[None]:
    """So many connections, numbered from `first`, open and idle during the block. They end without a goodbye."""
    with _generator(running, "connect", "--connections", connections, "--first", first, "--hold") as process:
        assert process.stdout is not None
        if process.stdout.readline():
            yield
        _, errors = process.communicate("go\n", timeout=LOAD_DEADLINE_S)
    _expect_success(process, errors)


def _generator(running: Running, mode: str, *options: object) -> subprocess.Popen[str]:
    ports = ",".join(map(str, (running.port, *running.other_ports)))
    pids = "/".join(",".join(map(str, group)) for group in (running.pids, *running.beside))
    command = [str(native("load")), mode, "--port", ports, "--pids", pids]
    command += ["--dialect", running.dialect, *map(str, options)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def _expect_success(process: subprocess.Popen[str], errors: str) -> None:
    if process.returncode:
        raise SystemExit(f"{process.args!r}\n{errors}")


def measure_cases(
    name: str, question: str, unit: str, cases: Sequence[Case], chosen: Arguments, over: Over | None = None
) -> dict[str, Any]:
    """Measure all cases in turns, print and save the table. Returns what was saved."""
    cases = [case for case in cases if not chosen.only or case.name in chosen.only or case.floor is None]
    samples: dict[str, list[dict[str, Any]]] = {case.name: [] for case in cases}
    with ExitStack() as stack:
        running = {}
        for case in cases:
            progress(f"{name}: starting {case.name}")
            running[case.name] = stack.enter_context(case.subject())
        for number in range(chosen.rounds):
            for case in cases:
                progress(f"{name}: round {number + 1} of {chosen.rounds}, {case.name}")
                samples[case.name].append(case.measure(running[case.name]))
    progress("")
    rows = [_row(case, samples) for case in cases]
    for row in rows:
        print(_line(row, unit))
    result = {"question": question.strip(), "unit": unit, "rounds": chosen.rounds, "rows": rows}
    return save(name, result | ({"over": asdict(over)} if over else {}))


def _row(case: Case, samples: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    mine = samples[case.name]
    row: dict[str, Any] = {
        "name": case.name,
        "figure": statistics.median(sample["figure"] for sample in mine),
        "figures": [sample["figure"] for sample in mine],
        "note": case.note,
    }
    if case.at is not None:
        row |= {"series": "wspulse", "at": case.at}
    for key in mine[0]:
        if key != "figure":
            row[key] = statistics.median(sample[key] for sample in mine)
    if case.floor is not None and case.floor in samples:
        # Within a round the machine is the same for both.
        pairs = zip(mine, samples[case.floor], strict=True)
        row["floor"] = case.floor
        row["ratio"] = statistics.median(sample["figure"] / below["figure"] for sample, below in pairs)
    if case.limit is not None:
        row["limit"], row["aim"] = case.limit, case.aim
        row["reached"] = row.get("ratio", row["figure"]) <= case.limit
    return row


def _line(row: dict[str, Any], unit: str) -> str:
    line = f"{row['name']:44} {row['figure']:9.2f} {unit}"
    if "ratio" in row:
        line += f"  {row['ratio']:5.2f} x {row['floor']}"
    if "limit" in row:
        line += f"  (to reach {row['limit']:g}: {'yes' if row['reached'] else 'NO'}; then {row['aim']})"
    return line


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
