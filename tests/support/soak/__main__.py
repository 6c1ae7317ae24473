"""`scripts/soak`: half an hour of everything at once, and whether it stays flat."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import uvloop

from tests.support.soak.records import keep
from tests.support.soak.run import Outcome, Plan, soak


def _table(outcome: Outcome) -> str:
    shown = ("clients", "said", "heard", "lost", "doubled", "missed", "came_back", "sessions_lost", "closed", "refused")
    lines = ["kind          " + " ".join(f"{name.replace('_', ' '):>13}" for name in shown)]
    lines += [f"{kind['kind']:13} " + " ".join(f"{kind[name]:13,}" for name in shown) for kind in outcome.kinds]
    lines += [f"  {note}" for kind in outcome.kinds for note in kind["notes"]]
    lines.append(
        f"{outcome.reloads} reloads moved {outcome.moved:,} sessions; longest pause {outcome.longest_pause_s:.2f} s"
    )
    for finding in outcome.findings:
        colour = "green" if finding.held else "red"
        lines.append(f"{colour:5} {finding.what}: {finding.seen} (promised: {finding.promised})")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="how long (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=300, help="of all kinds (default: %(default)s)")
    parser.add_argument("--sample-every", type=float, default=10, help="seconds (default: %(default)s)")
    parser.add_argument("--reload-every", type=float, default=180, help="seconds (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep the samples, for doc/inside/reliability.md")
    options = parser.parse_args()
    plan = Plan(options.minutes * 60, options.clients, options.sample_every, options.reload_every)
    with (
        tempfile.TemporaryDirectory(prefix="wspulse-soak-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        outcome = runner.run(soak(Path(folder), plan, lambda line: print(line, flush=True)))
    print(_table(outcome))
    if options.keep:
        keep(outcome)
    return 0 if outcome.held else 1


if __name__ == "__main__":
    sys.exit(main())
