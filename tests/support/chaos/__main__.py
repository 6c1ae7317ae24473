"""`scripts/chaos`: row after row, each at a server of its own."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

import uvloop

from tests.support.chaos.records import keep
from tests.support.chaos.row import Outcome
from tests.support.chaos.rows import ROWS
from wspulse.supervisor.host.descriptor_limit import raise_descriptor_limit

_COLOURS = {"green": "32", "red": "31"}


def _painted(word: str) -> str:
    return f"\033[{_COLOURS[word]}m{word:5}\033[0m" if sys.stdout.isatty() else f"{word:5}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="its name; all without")
    parser.add_argument("--members", type=int, default=40, help="of the crowd (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="name the rows, and do nothing")
    parser.add_argument("--keep", action="store_true", help="keep what was seen, for doc/inside/reliability.md")
    options = parser.parse_args()
    unknown = set(options.rows) - {row.name for row in ROWS}
    if unknown:
        parser.error(f"no row is called {', '.join(sorted(unknown))}; --list names them")
    chosen = [row for row in ROWS if not options.rows or row.name in options.rows]
    if options.list:
        print("\n".join(f"{row.name:20} {row.title}" for row in chosen))
        return 0
    raise_descriptor_limit()
    began = time.monotonic()
    outcomes = []
    for row in chosen:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            outcome = runner.run(Outcome.of(row, options.members))
        outcomes.append(outcome)
        print(
            f"{_painted('red' if outcome.trouble else 'green')} {row.name:20} {row.title} ({outcome.duration_s:.1f} s)"
        )
        print(f"      promised: {row.promised}")
        for line in outcome.seen:
            print(f"      seen:     {line}")
        print(outcome.trouble, end="", flush=True)
        if options.keep:
            keep(outcome)
    failed = sum(bool(outcome.trouble) for outcome in outcomes)
    print(f"{len(outcomes) - failed} of {len(outcomes)} rows green, in {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
