"""Clients on all hosts of a cluster talk while something fails; then what they heard is held against what was promised.

See `scripts/cluster-crowd`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support.crowds.cluster.books import Findings, Stay, judged, missing
from tests.support.crowds.cluster.members import Member
from tests.support.crowds.cluster.stage import Stage, staged
from tests.support.crowds.cluster.trials import TRIALS
from tests.support.eventually import eventually

__all__ = ["SMALL", "Crowd", "Outcome", "report", "run"]

WHOLE_S = 20.0
"""For what is missing when nobody says anything more: ends of rooms are looked for within a second, and every 30 s."""

LOST_S = 3.0
"""Where some of that is lost."""

QUIET_S = 25.0
"""For the answers to what was said last: a broadcast has 10 s, and others wait before it."""


@dataclass
class Crowd:
    """How large a run is."""

    clients: int = 60
    walkers: int = 6
    """Of the clients: they go from host to host all the time."""
    rooms: int = 5
    hosts: int = 3
    workers: int = 2
    say_s: float = 0.15
    """Between two frames of a client."""
    before_s: float = 3.0
    after_s: float = 3.0


SMALL = Crowd(24, 3, 4, 2, say_s=0.3, before_s=1.0, after_s=0.5)
"""For tests."""


@dataclass
class Outcome:
    trial: str
    findings: Findings
    facts: dict[str, float | str]
    refused: Counter[str]
    duration_s: float
    log: str


async def run(folder: Path, trial: str, crowd: Crowd) -> Outcome:
    """In an empty folder."""
    began = time.monotonic()
    what = TRIALS[trial]
    async with staged(
        folder, servers=what.servers, hosts=crowd.hosts, workers=crowd.workers, is_proxied=what.is_proxied
    ) as stage:
        stage.deeds.may_lose, stage.deeds.may_fail = what.may_lose, what.may_fail
        stage.members = _members(stage, crowd)
        running = [asyncio.create_task(member.run()) for member in stage.members]
        try:
            await stage.goes_on("all talk at first after s")
            assert not stage.stories, "\n".join([*stage.stories, *(host.process.stderr() for host in stage.hosts)])
            await asyncio.sleep(crowd.before_s)
            await what.act(stage)
            await asyncio.sleep(crowd.after_s)
            await _quiet(stage)
            await _count_losses(stage)
            stays = [stay for member in stage.members for stay in member.stays]
            findings = judged(stays, stage.notes(), stage.deeds)
        finally:
            await asyncio.gather(*(member.leave() for member in stage.members))
            await asyncio.gather(*running)
            for host in stage.hosts:
                host.process.terminate()  # all at once: each has to be waited for
        log = "\n".join(f"{host.name}:\n{host.process.stderr()}" for host in stage.hosts)
    findings.stories += stage.stories
    if "Traceback" in log:
        findings.stories.append("a host has logged a traceback")
    refused = sum((member.refused for member in stage.members), Counter[str]())
    return Outcome(trial, findings, stage.facts, refused, time.monotonic() - began, log)


def _members(stage: Stage, crowd: Crowd) -> list[Member]:
    urls = {host.name: host.process.url for host in stage.hosts}
    names = [f"{'walker' if number < crowd.walkers else 'client'}-{number}" for number in range(crowd.clients)]
    return [
        Member(
            name,
            f"room-{number % crowd.rooms}",
            urls,
            number // crowd.rooms,
            names,
            crowd.say_s,
            walks=number < crowd.walkers,
        )
        for number, name in enumerate(names)
    ]


async def _quiet(stage: Stage) -> None:
    """Nobody says anything more, and all that was said has come, or does not."""
    for member in stage.members:
        member.may_walk, member.is_quiet = False, True
    try:
        await eventually(lambda: not any(member.is_waiting for member in stage.members), "all is answered", QUIET_S)
        await eventually(
            lambda: not list(missing(_stays(stage), stage.notes())),
            "all has come",
            LOST_S if stage.deeds.may_lose else WHOLE_S,
        )
    except AssertionError as error:
        stage.facts["at the end"] = str(error)  # the judge tells
    await asyncio.sleep(0.5)  # for what comes twice


def _stays(stage: Stage) -> list[Stay]:
    return [stay for member in stage.members for stay in member.stays]


async def _count_losses(stage: Stage) -> None:
    if not stage.deeds.may_lose:
        return
    losses = [(host, await stage.losses(host)) for host in stage.hosts]
    stage.facts["losses counted"] = sum(count for _, count in losses)
    stage.deeds.told = {host.name for host, count in losses if count and host.tells_of_losses}


def report(outcome: Outcome) -> str:
    """The figures, in words."""
    found = outcome.findings
    lines = [
        f"{outcome.trial}: {outcome.duration_s:.0f} s, {found.sessions:,} sessions, {found.sent:,} frames sent by id",
        f"{found.kept:,} broadcasts acknowledged, the slowest after {found.longest_broadcast_s:.1f} s; {found.heard:,} heard",
        f"failed: {found.failed or 'nothing'}; refused: {dict(outcome.refused) or 'nobody'}",
        *(f"{fact}: {figure}" for fact, figure in outcome.facts.items()),
        f"{found.lost:,} broadcasts lost, {len(found.stories):,} stories",
    ]
    return "\n    ".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/cluster-crowd", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--trial",
        action="append",
        choices=TRIALS,
        help="what fails; may be repeated (default: all, one after the other)",
    )
    default = Crowd()
    for name, text in {
        "clients": "in all",
        "walkers": "of the clients, those that go from host to host",
        "rooms": "of all",
        "hosts": "of the cluster",
        "workers": "of each host",
        "say-s": "seconds between a client's frames",
        "after-s": "seconds that it goes on behind what fails",
    }.items():
        value = getattr(default, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=type(value), default=value, help=f"{text} (default: %(default)s)")
    parser.add_argument("--stories", type=int, default=20, help="faults to be shown (default: %(default)s)")
    parser.add_argument("--keep", metavar="FOLDER", help="keep the hosts' logs there")
    options = vars(parser.parse_args())
    trials, stories, keep = (options.pop(name) for name in ("trial", "stories", "keep"))
    crowd = replace(default, **options)
    faults = 0
    for trial in trials or TRIALS:
        with tempfile.TemporaryDirectory(prefix="wspulse-cluster-") as folder:
            try:
                outcome = asyncio.run(run(Path(folder), trial, crowd))
            except AssertionError as error:
                print(f"{trial}: {error}", flush=True)
                faults += 1
                continue
        if keep:
            Path(keep).mkdir(exist_ok=True)
            (Path(keep) / f"{trial}.log").write_text(outcome.log)
        print("\n".join([*outcome.findings.stories[:stories], report(outcome)]), flush=True)
        faults += len(outcome.findings.stories)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
