"""`scripts/chaos`: strike after strike, each at a server of its own."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.support.chaos.stage import stage
from tests.support.chaos.strikes import STRIKES, Strike


async def strike(each: Strike, members: int) -> None:
    with tempfile.TemporaryDirectory(prefix="wspulse-chaos-") as folder:
        async with stage(Path(folder), members=members, unread_log=each.unread_log) as struck:
            await each.run(struck)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("strikes", nargs="*", metavar="STRIKE", help="part of a name; all without")
    parser.add_argument("--members", type=int, default=50, help="of the crowd (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="name the strikes and do nothing")
    options = parser.parse_args()
    chosen = [each for each in STRIKES if not options.strikes or any(part in each.name for part in options.strikes)]
    failed = 0
    for each in chosen:
        if options.list:
            print(each.name)
            continue
        began = time.monotonic()
        try:
            asyncio.run(strike(each, options.members))
        except Exception:
            failed += 1
            print(f"FAILED  {each.name}\n{traceback.format_exc()}", flush=True)
        else:
            print(f"held    {each.name} ({time.monotonic() - began:.1f} s)", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
