"""Runs drawn histories of sessions on several hosts: `python -m tests.support.cluster --histories 10000 --seed 0`.

A violation is printed with its seed and the history that led to it; the seed alone replays it exactly.
"""

from __future__ import annotations

import argparse
import sys

from tests.support.cluster.history import History


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.cluster", description=__doc__)
    parser.add_argument("--histories", type=int, default=10_000, help="how many (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the first one; the next has the next (default: %(default)s)"
    )
    options = parser.parse_args()
    for seed in range(options.seed, options.seed + options.histories):
        history = History(seed)
        try:
            history.run()
        except AssertionError as violation:
            print("\n".join(history.trace))
            print(f"\nseed {seed}: {violation}")
            return 1
    print(f"{options.histories} histories hold")
    return 0


if __name__ == "__main__":
    sys.exit(main())
