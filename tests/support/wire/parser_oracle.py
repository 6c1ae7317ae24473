"""Runs the frame parser against the websockets library over very many drawn streams (`scripts/parser-oracle`).

Stream number n is drawn from seed + n, so a failing one is replayed by its own seed alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from multiprocessing import get_context
from random import Random

from tests.support.wire.frame_streams import disagreement, draw_stream

BATCH_STREAMS = 5_000
"""Half a second's work: often enough for a progress line, rare enough for the pool not to matter."""


def disagreement_of_seed(seed: int) -> str | None:
    """How the two differ over the stream of this seed, None when they agree."""
    return disagreement(draw_stream(Random(seed)), feeds_per_drain=seed % 4)


def _run_batch(seeds: range) -> tuple[int, str | None]:
    """The streams that agreed, and the first that did not."""
    for count, seed in enumerate(seeds):
        problem = disagreement_of_seed(seed)
        if problem is not None:
            replay = f"scripts/parser-oracle --streams 1 --seed {seed}"
            return count, f"seed {seed}: the parser and the library differ over {problem}\nreplay with: {replay}"
    return len(seeds), None


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/parser-oracle", description="The frame parser against the websockets library, over drawn streams."
    )
    parser.add_argument("--streams", type=int, default=1_000_000, help="how many (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the first one; the next has the next (default: %(default)s)"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)")
    options = parser.parse_args()

    end = options.seed + options.streams
    batches = [range(start, min(start + BATCH_STREAMS, end)) for start in range(options.seed, end, BATCH_STREAMS)]
    started_at = time.perf_counter()
    agreed = 0
    with get_context("fork").Pool(min(options.jobs, max(len(batches), 1))) as pool:
        for count, problem in pool.imap(_run_batch, batches):
            agreed += count
            if problem is not None:
                print(f"\n{problem}", file=sys.stderr)
                return 1
            rate = agreed / (time.perf_counter() - started_at)
            print(f"\r{agreed:,} of {options.streams:,} streams agree, {rate:,.0f}/s", end="", flush=True)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
