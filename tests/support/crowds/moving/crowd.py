"""A crowd that talks in both directions while its server's workers are replaced, and become more and fewer.

No connection may end, no frame be lost, doubled or out of order: `books` says what is held against what. Silence is what those
clients heard who are told something every 5 ms or so; lateness is from a broadcast's call to its arrival, of those who only talk.
Both are also of a machine that the clients share with the server, so the same is told of a while in which nothing is done to it.
See `scripts/moving-crowd`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

from tests.support.crowds.moving.books import ANY_END, Findings, Notes, judged
from tests.support.crowds.moving.silence import share
from tests.support.crowds.moving.steps import STEPS, Row, Stage, parsed
from tests.support.processes.server_process import ServerProcess, serve_process, wait_until
from wspulse import AsyncControl, ControlError

__all__ = ["Crowd", "Outcome", "moving_crowd", "report", "run"]

ROOT = Path(__file__).parents[4]
APP = Path(__file__).with_name("app.py")

OPTIONS = (
    *("--resume-window", "30", "--ping-period", "2", "--pong-wait", "20", "--write-wait", "20"),
    *("--send-buffer-size", "4096", "--send-buffer-bytes", "33554432", "--max-message-size", "65536"),
    *("--shutdown-timeout", "20"),
)
"""Of the server. Buffers that take all that comes while a client does not read: nothing is to be pushed out."""

DELIVERIES_PER_S = 25_000
"""Of broadcasts, about: what two cores carry with the server on them."""

ROOM_FRAMES_PER_S = 250
"""At most: who does not read for 5 s has all of it in its buffer."""

LISTENERS = 24
SERVER_CLOSES = (1001, "server shutting down")
LINE_COMES_BACK = (1006, "its line is reconnecting")
RESTARTS = (1012, "service restart")


@dataclass
class Crowd:
    """What a run is made of. Of each kind so many are among the clients; the others talk."""

    clients: int = 2000
    rooms: int = 50
    workers: int = 4
    steps: tuple[str, ...] = ("reload:10",)
    blocked: int = 8
    half: int = 60
    away: int = 60
    slow: int = 8
    exact: int = 60
    stuck: int = 0
    """With a handler that takes a minute: what it ends with must be 1012."""
    say_s: float = 2.0
    busy: float = 0.003
    """Of what is said, so much keeps the worker's loop for 30 ms."""
    slow_s: float = 5.0
    burst: int = 200
    deliveries: int = DELIVERIES_PER_S
    sends: int = 5
    programs: int = 2
    still_s: float = 3.0
    """At the beginning, to compare with; and so long it goes on behind the last step."""
    options: tuple[str, ...] = ()
    """Of the server, more."""
    seed: int = 1


@dataclass
class Outcome:
    findings: Findings
    rows: list[Row] = field(default_factory=list)
    alone: dict[str, Counter[int]] = field(default_factory=dict)
    """Silence and lateness before the first step."""
    during: dict[str, Counter[int]] = field(default_factory=dict)
    moved: int = 0
    """As on_transfer_in counted."""
    duration_s: float = 0.0

    @property
    def is_clean(self) -> bool:
        return self.findings.is_clean


class Program:
    """A process with clients in it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def started(cls, settings: dict[str, Any]) -> Program:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.crowds.moving.program"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            limit=1 << 30,
        )
        program = cls(process)
        await program._write(json.dumps(settings))
        return program

    async def ask(self, word: str, limit_s: float = 120) -> str:
        await self._write(word)
        assert self._process.stdout is not None
        async with asyncio.timeout(limit_s):
            line = await self._process.stdout.readline()
        assert line, f"the clients have ended with {await self._process.wait()} when they were told {word}"
        return line.decode().strip()

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()


def _plans(crowd: Crowd) -> list[dict[str, Any]]:
    kinds = [
        kind for kind in ("blocked", "half", "away", "slow", "exact", "stuck") for _ in range(getattr(crowd, kind))
    ]
    kinds += ["plain"] * (crowd.clients - len(kinds))
    plain = len(kinds) - kinds.count("plain")
    plans = []
    for number, kind in enumerate(kinds):
        listens = plain <= number < plain + LISTENERS
        rooms = [f"room-{number % crowd.rooms}", *(["pulse"] if listens else [])]
        plans.append({"id": f"{kind}-{number}", "kind": kind, "rooms": rooms, "listens": listens})
    return plans


def _settings(crowd: Crowd, plans: list[dict[str, Any]]) -> dict[str, Any]:
    deliveries = crowd.workers * crowd.burst * crowd.clients / crowd.rooms
    return {
        "ids": [plan["id"] for plan in plans],
        "rooms": crowd.rooms,
        "burst": crowd.burst,
        "period_s": max(deliveries / crowd.deliveries, crowd.workers * crowd.burst / crowd.rooms / ROOM_FRAMES_PER_S),
        "sends": crowd.sends,
        # Those whose answers may take longer than a move waits for.
        "unasked": ("blocked", "half", "away", "slow") if crowd.stuck else ("blocked",),
    }


async def moving_crowd(server: ServerProcess, folder: Path, crowd: Crowd) -> Outcome:
    """Run it with a server whose application is `APP`, in this folder, where `settings.json` is of this crowd."""
    began = time.monotonic()
    plans = _plans(crowd)
    async with AsyncExitStack() as stack:
        programs = []
        for place in range(crowd.programs):
            settings = {"url": server.url, "plans": plans[place :: crowd.programs], "seed": crowd.seed}
            settings |= {"say_s": crowd.say_s, "busy": crowd.busy, "slow_s": crowd.slow_s}
            programs.append(await Program.started(settings))
            stack.push_async_callback(programs[-1].end)
        control = await stack.enter_async_context(AsyncControl(server.control, timeout=30))
        stage = Stage(server, control, folder, Random(crowd.seed))
        outcome = Outcome(Findings(), stage.rows)
        await _all(programs, "open")
        (folder / "go").touch()
        await _all(programs, "talk")
        await asyncio.sleep(crowd.still_s / 2)
        await _all(programs, "phase")
        await asyncio.sleep(crowd.still_s)
        outcome.alone = _phase(await _all(programs, "phase"))
        for step in crowd.steps:
            name, argument = parsed(step)
            try:
                await STEPS[name](stage, argument)
            except ControlError as error:
                stage.faults.append(f"{step}: {error}")
        outcome.during = _phase(await _all(programs, "phase"))
        if not stage.is_over:
            await asyncio.sleep(crowd.still_s)
        await _all(programs, "quiet")
        (folder / "stop").touch()
        if not stage.is_over:
            await asyncio.to_thread(_await_totals, folder, stage.has_unfinished)
        await _all(programs, "still")
        books = [book for answer in await _all(programs, "books") for book in json.loads(answer)]
        await _all(programs, "leave")
        if not stage.is_over:
            await _end_sessions(control, books, stage)
    expected: dict[str, Any] = {}
    if stage.is_over or stage.is_drained:
        # Those that come back find nobody there, or begin anew.
        how = {"exact": LINE_COMES_BACK if stage.is_over else ANY_END, "away": ANY_END}
        expected = {plan["id"]: how.get(plan["kind"], SERVER_CLOSES if stage.is_over else RESTARTS) for plan in plans}
    expected |= {plan["id"]: RESTARTS for plan in plans if plan["kind"] == "stuck"}
    expected |= dict.fromkeys(stage.victims, ANY_END)
    if not stage.is_over:
        await asyncio.to_thread(_await_ends, folder, len(plans) - len(stage.victims))
    notes = Notes(_notes(folder))
    outcome.findings = judged(
        books,
        notes,
        ends=expected,
        is_over=stage.is_over,
        has_unfinished=stage.has_unfinished,
        has_killed=bool(stage.victims),
    )
    outcome.findings.stories += stage.faults
    outcome.moved = notes.moved_in.total()
    outcome.duration_s = time.monotonic() - began
    return outcome


def run(folder: Path, crowd: Crowd) -> Outcome:
    """Start a server in this folder, and run the crowd with it."""
    shutil.copy(APP, folder / "app.py")
    (folder / "settings.json").write_text(json.dumps(_settings(crowd, _plans(crowd))))
    options = ("--app", "app:server", *OPTIONS, *crowd.options)
    # A file that is written twice within a second is not taken for the one before it.
    environment = {"PYTHONDONTWRITEBYTECODE": "1"}
    with serve_process(*options, workers=crowd.workers, cwd=folder, env=environment) as server:
        try:
            return asyncio.run(moving_crowd(server, folder, crowd))
        finally:
            (folder / "server.log").write_text(server.stderr())


async def _all(programs: list[Program], word: str) -> list[str]:
    return await asyncio.gather(*(program.ask(word) for program in programs))


def _phase(answers: list[str]) -> dict[str, Counter[int]]:
    times: dict[str, Counter[int]] = {}
    for answer in answers:
        for name, counts in json.loads(answer).items():
            times.setdefault(name, Counter()).update({int(time_ms): count for time_ms, count in counts.items()})
    return times


def _notes(folder: Path) -> Iterator[list[Any]]:
    for path in sorted(folder.glob("notes-*")):
        for line in path.read_text().splitlines():
            # One that was killed may have ended in the middle of a line.
            if line.endswith("]"):
                yield json.loads(line)


def _await_totals(folder: Path, has_unfinished: bool) -> None:
    """Until each process that lives has noted how much it has sent; those that were killed never will."""

    def are_there() -> bool:
        notes = Notes(_notes(folder))
        return not notes.begun - notes.totals.keys()

    try:
        wait_until(are_there, 3 if has_unfinished else 20, "all processes have noted how much they have sent")
    except AssertionError:
        pass  # the judge tells


async def _end_sessions(control: AsyncControl, books: list[dict[str, Any]], stage: Stage) -> None:
    """Those of clients that have left wait for them to come back."""
    gate = asyncio.Semaphore(32)

    async def end(client: str) -> None:
        async with gate:
            try:
                await control.kick(client)
            except ControlError as error:
                stage.faults.append(f"its session could not be ended: {error}")

    await asyncio.gather(*(end(book["id"]) for book in books if book["end"] is None and book["kind"] != "exact"))


def _await_ends(folder: Path, count: int) -> None:
    try:
        wait_until(lambda: len(Notes(_notes(folder)).disconnects) >= count, 10, "all sessions have ended")
    except AssertionError:
        pass  # the judge tells


def report(outcome: Outcome) -> str:
    """The figures, in words."""
    found = outcome.findings
    lines = [
        *map(str, outcome.rows),
        f"{found.clients:,} clients, {found.sent:,} frames to the server, {found.heard:,} broadcasts heard",
        f"{outcome.duration_s:.0f} s; {outcome.moved:,} times a session has arrived",
    ]
    lines += [f"{name}: {_times(times)}" for name, times in (("alone", outcome.alone), ("steps", outcome.during))]
    lines.append(
        f"{found.closed:,} connections closed, {found.lost:,} frames lost, {found.doubled:,} doubled, "
        f"{found.disordered:,} out of order; {len(found.stories):,} stories"
    )
    return "\n".join(lines)


def _times(times: dict[str, Counter[int]]) -> str:
    told = []
    for name, word in (("gaps_ms", "silence"), ("lateness_ms", "lateness")):
        counts = times.get(name, Counter())
        if counts:
            told.append(
                f"{word} p50 {share(counts, 0.5)}, p99 {share(counts, 0.99)}, p99.9 {share(counts, 0.999)}, "
                f"longest {max(counts)} ms"
            )
    return "; ".join(told) or "nothing was heard"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/moving-crowd", description=__doc__.partition("\n")[0])
    default = Crowd()
    parser.add_argument(
        "steps",
        nargs="*",
        metavar="STEP",
        default=list(default.steps),
        help=f"of {', '.join(STEPS)}; with an argument as in scale:2,6,4 (default: {' '.join(default.steps)})",
    )
    for name, what in {
        "clients": "in all",
        "rooms": "of all",
        "workers": "of the server, at first",
        "blocked": "clients that do not read what they asked for, for a while",
        "half": "clients that send messages in pieces",
        "away": "clients that close, and come back to their session",
        "slow": "clients with handlers that take --slow-s",
        "exact": "clients of wspulse.client",
        "stuck": "clients with a handler that takes a minute, for which --handover-timeout is 2",
        "say-s": "seconds between a client's frames",
        "slow-s": "seconds that the handlers of slow clients take",
        "busy": "of what is said, so much keeps a worker for 30 ms",
        "burst": "broadcasts at once of each worker",
        "deliveries": "broadcasts that all clients hear in a second, about",
    }.items():
        value = getattr(default, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=type(value), default=value, help=f"{what} (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="of what is drawn")
    parser.add_argument("--stories", type=int, default=20, help="faults to be shown (default: %(default)s)")
    parser.add_argument("--keep", metavar="FOLDER", help="keep the server's notes and its log there")
    options = vars(parser.parse_args())
    keep, stories, seed = options.pop("keep"), options.pop("stories"), options.pop("seed")
    try:
        steps = tuple(":".join(parsed(step)).rstrip(":") for step in options.pop("steps"))
    except ValueError as error:
        parser.error(str(error))
    seed = SystemRandom().randrange(2**32) if seed is None else seed
    crowd = Crowd(**options, steps=steps, seed=seed, options=("--handover-timeout", "2") if options["stuck"] else ())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 16384)), hard))
    with tempfile.TemporaryDirectory(prefix="wspulse-moving-") as name:
        folder = Path(keep or name)
        folder.mkdir(exist_ok=True)
        outcome = run(folder, crowd)
    print("\n".join(outcome.findings.stories[:stories]))
    print(report(outcome))
    print(f"drawn with --seed {seed}")
    return 0 if outcome.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
