"""Sessions and rooms over two hosts, tried again and again: `scripts/cluster-walks`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

from tests.support.crowds.exact_crowd import Crowd, report
from tests.support.crowds.hosts.lines import LANGUAGES, walking_lines, with_lines
from tests.support.crowds.hosts.one_id import at_once, one_after_the_other
from tests.support.crowds.hosts.places import two_hosts
from tests.support.crowds.hosts.rooms import one_order, open_means_joined
from tests.support.crowds.hosts.stopped import stopped_host
from tests.support.crowds.hosts.walks import exact_walk, plain_walk

Trial = Callable[[], Coroutine[Any, Any, Any]]

SPARE_CUTS = 1.4
"""Of two cuts in quick succession the second one finds a session that has not left yet: more cuts than walks."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/cluster-walks", description=__doc__)
    parser.add_argument(
        "--orders", type=int, default=50, help="rounds of 100 clients × 10 frames (default: %(default)s)"
    )
    parser.add_argument("--joined", type=int, default=1000, help="newcomers across the hosts (default: %(default)s)")
    parser.add_argument("--walks", type=int, default=100, help="of one session (default: %(default)s)")
    parser.add_argument("--kicks", type=int, default=1000, help="each by a newcomer elsewhere (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=200, help="of newcomers at once (default: %(default)s)")
    parser.add_argument("--stopped", type=int, default=15, help="seconds for a host (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="of each host (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn (default: %(default)s)")
    options = parser.parse_args()
    draw = Random(options.seed)
    failed = 0
    with two_hosts(options.workers) as hosts:
        trials: dict[str, tuple[int, Trial]] = {
            "rounds in one order": (
                options.orders,
                lambda: one_order(hosts, clients=100, frames=10, rounds=options.orders),
            ),
            "open and joined": (options.joined, lambda: open_means_joined(hosts, draw, times=options.joined)),
            "walks of an exact client": (options.walks, lambda: exact_walk(hosts, draw, walks=options.walks)),
            "walks of a plain client": (options.walks, lambda: plain_walk(hosts, draw, walks=options.walks)),
            "kicks": (options.kicks, lambda: one_after_the_other(hosts, draw, times=options.kicks)),
            "s that a host is stopped": (
                options.stopped,
                lambda: stopped_host(hosts, stopped_s=options.stopped),
            ),
            "pairs at once": (options.pairs, lambda: at_once(hosts, draw, times=options.pairs)),
        }
        for name, (times, trial) in trials.items():
            failed += not (times == 0 or _tried(f"{times} {name}", trial))
    if options.walks:
        with tempfile.TemporaryDirectory(prefix="wspulse-lines-") as folder, with_lines(Path(folder)) as served:
            failed += not _tried(
                f"{options.walks} walks of lines of {' and '.join(LANGUAGES)}",
                lambda: _lines_walk(served, Path(folder), options.walks, options.seed),
            )
    return 1 if failed else 0


async def _lines_walk(hosts: list[Any], folder: Path, walks: int, seed: int) -> str:
    crowd = Crowd(
        2,
        round(walks * SPARE_CUTS),
        reloads=0,
        rooms=3,
        period_s=0.5,
        # Else something is pushed out of the buffer, which is told.
        floods=0.0,
        longest_life_s=1.5,
        seed=seed,
        languages=LANGUAGES,
    )
    outcome, walked = await walking_lines(hosts, folder, crowd)
    findings = outcome.findings
    assert findings.faults == [], findings.faults[:20]
    assert findings.lost_living == findings.lost_away == 0, report(outcome)
    assert min(walked.values()) >= walks, f"too few of them came to another host: {walked}"
    return f"{report(outcome)}\nwalks: {dict(walked)}"


def _tried(what: str, trial: Trial) -> bool:
    began = time.monotonic()
    try:
        result = asyncio.run(trial())
    except (AssertionError, TimeoutError) as failure:
        print(f"{what}: FAILED: {str(failure)[:2000] or repr(failure)}", flush=True)
        return False
    told = "" if result is None else f": {result}"
    print(f"{what}: held, in {time.monotonic() - began:.0f} s{told}", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
