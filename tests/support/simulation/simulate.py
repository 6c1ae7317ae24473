"""Runs simulated histories of the shard over consecutive seeds (`scripts/simulate`).

A violation is printed with its seed, the history that led to it, and the invariant that did not hold; the seed alone
replays it exactly.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from multiprocessing import get_context

from tests.support.simulation.kinds import history_of, violation_of_seed

__all__ = ["first_violation", "readable_history"]

BATCH_HISTORIES = 1_000
"""A second's work: often enough for a progress line, rare enough for the pool not to matter."""


def first_violation(seeds: range) -> tuple[int, int | None]:
    """How many histories held, and the seed of the first that did not."""
    for count, seed in enumerate(seeds):
        if violation_of_seed(seed) is not None:
            return count, seed
    return len(seeds), None


def readable_history(seed: int) -> tuple[list[str], str | None]:
    """The steps of a history with what followed from each, and its violation."""
    trace: list[str] = []
    violation = history_of(seed, trace).run()
    return trace, violation


def _prepare() -> None:
    # Sessions, transports and tasks refer to each other, and everything else lives on: 8 % faster.
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def _report(seed: int) -> None:
    trace, violation = readable_history(seed)
    print("\n".join(trace))
    print(f"\nseed {seed}: {violation or 'every invariant held'}")
    print(f"replay with: scripts/simulate --histories 1 --seed {seed} --verbose")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/simulate", description="Simulated histories of sessions, held against their contract."
    )
    parser.add_argument("--histories", type=int, default=1_000_000, help="how many (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the first one; the next has the next (default: %(default)s)"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)")
    parser.add_argument("--verbose", action="store_true", help="print every history, step by step")
    options = parser.parse_args()

    end = options.seed + options.histories
    if options.verbose:
        for seed in range(options.seed, end):
            _report(seed)
        return 0
    batches = [range(start, min(start + BATCH_HISTORIES, end)) for start in range(options.seed, end, BATCH_HISTORIES)]
    started_at = time.perf_counter()
    held = 0
    with get_context("fork").Pool(min(options.jobs, max(len(batches), 1)), _prepare) as pool:
        for count, violating in pool.imap(first_violation, batches):
            held += count
            if violating is not None:
                print()
                _report(violating)
                return 1
            rate = held / (time.perf_counter() - started_at)
            print(f"\r{held:,} of {options.histories:,} histories hold, {rate:,.0f}/s", end="", flush=True)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
