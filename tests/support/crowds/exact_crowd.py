"""Exact clients of both languages at four workers, whose sockets are cut at random: nothing doubled, disordered, or lost untold.

Each client is behind a bad network of its own. It says numbered frames in its rooms, whispers to others, floods itself, and is
answered; readers pause, and workers are replaced meanwhile. See `scripts/exact-crowd`, and `exact_books` for what is held against
what.
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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

from tests.support.crowds.bad_network import BadNetwork
from tests.support.crowds.exact_books import Findings, judged
from tests.support.processes.node import VERSIONS, node_of
from tests.support.processes.server_process import ServerProcess, serve_process
from wspulse import AsyncControl

__all__ = ["OPTIONS", "Crowd", "Outcome", "exact_crowd", "report"]

ROOT = Path(__file__).parents[3]
APP = Path(__file__).with_name("exact_app.py")
JAVASCRIPT = ROOT / "tests" / "clients" / "javascript" / "exact_lines.mjs"

BUFFER_FRAMES = 64

OPTIONS = (
    *("--resume-window", "30", "--send-buffer-size", f"{BUFFER_FRAMES}", "--ping-period", "2", "--pong-wait", "6"),
    *("--max-message-size", "65536", "--shutdown-timeout", "20"),
)
"""Of the server. So small a buffer that something is pushed out of it."""

ROOMS_OF_EACH = 3
WHISPERS_TO = (1, 37)

_STILL_S = 40.0
"""Where nothing was cut for so long, a line has ended."""


@dataclass
class Crowd:
    """What a run is made of."""

    clients: int
    """Of each language."""
    cuts: int
    reloads: int = 2
    rooms: int = 30
    period_s: float = 2.0
    """Each client says something so often, about."""
    floods: float = 0.06
    """Of what it says, so much is floods."""
    stall: float = 0.0002
    """How many of a flood's frames have a Python client's handler take two seconds."""
    longest_life_s: float = 3.0
    base_s: float = 0.1
    max_s: float = 1.0
    seed: int = 1
    languages: tuple[str, ...] = ("py", "js")


@dataclass
class Outcome:
    findings: Findings
    cuts: Counter[str] = field(default_factory=Counter)
    fewest_cuts: int = 0
    reloads: int = 0
    duration_s: float = 0.0
    is_stuck: bool = False


class Program:
    """A process that runs the lines of one language."""

    def __init__(self, language: str, process: asyncio.subprocess.Process) -> None:
        self.language = language
        self._process = process

    @classmethod
    async def started(cls, language: str, settings: dict[str, Any]) -> Program:
        if language == "py":
            command = [sys.executable, "-m", "tests.support.crowds.exact_lines"]
        else:
            version = next(version for version in reversed(VERSIONS) if node_of(version))
            flags = ["--experimental-websocket"] if version == "20" else []
            command = [str(node_of(version)), "--no-warnings", *flags, str(JAVASCRIPT)]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT, limit=1 << 30
        )
        program = cls(language, process)
        await program.tell(json.dumps(settings))
        return program

    async def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()

    async def says(self, limit_s: float) -> str:
        assert self._process.stdout is not None
        async with asyncio.timeout(limit_s):
            line = await self._process.stdout.readline()
        assert line, f"the lines of {self.language} have ended with {await self._process.wait()}"
        return line.decode().strip()

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


def _plans(crowd: Crowd, url: str, networks: list[BadNetwork]) -> list[dict[str, Any]]:
    names = [f"{language}-{number}" for number in range(crowd.clients) for language in crowd.languages]
    rooms = [
        [f"room {(number * 7 + step * 11) % crowd.rooms}" for step in range(ROOMS_OF_EACH)]
        for number in range(len(names))
    ]
    members = Counter(room for each in rooms for room in each)
    whispers = [
        [names[other] for other in sorted({(number + step) % len(names) for step in WHISPERS_TO})]
        for number in range(len(names))
    ]
    whispered = Counter(name for each in whispers for name in each)
    path = urlsplit(url).path
    plans = []
    for number, (name, network) in enumerate(zip(names, networks, strict=True)):
        own = rooms[number]
        said = len(own) + len(whispers[number]) + 1
        query = ",".join([*own, f"own {name}"]).replace(" ", "%20")
        plans.append(
            {
                "id": name,
                "url": f"ws://127.0.0.1:{network.port}{path}?id={name}&rooms={query}",
                "rooms": own,
                "whispers_to": whispers[number],
                # Of its rooms, whispered to it, the flood and the answers.
                "lasts": sum(members[room] for room in own) + whispered[name] + 1 + said,
            }
        )
    return plans


async def exact_crowd(
    server: ServerProcess, folder: Path, crowd: Crowd, *, others: Sequence[ServerProcess] = ()
) -> Outcome:
    """Run it. The server's application is `APP`, which writes its notes into `folder`; they are complete when the server ends,
    and read here when all clients are gone. With the `others` it is one of several hosts, and each client goes from one to the
    next."""
    servers = [server, *others]
    began = time.monotonic()
    draw = Random(crowd.seed)
    outcome = Outcome(Findings())
    async with AsyncExitStack() as stack:
        networks = [
            await stack.enter_async_context(
                BadNetwork(
                    [each.port for each in servers],
                    Random(draw.random()),
                    cuts=crowd.cuts,
                    longest_life_s=crowd.longest_life_s,
                )
            )
            for _ in range(crowd.clients * len(crowd.languages))
        ]
        plans = _plans(crowd, server.url, networks)
        programs = []
        for language in crowd.languages:
            lines = [plan for plan in plans if plan["id"].startswith(language)]
            settings = {**_settings(crowd), "lines": lines}
            programs.append(await Program.started(language, settings))
            stack.push_async_callback(programs[-1].end)
        await _await_all(programs, "connected")
        for network in networks:
            network.begin()
        reloading = asyncio.create_task(_reload(server, networks, crowd, outcome))
        try:
            await _cut(networks, outcome)
            if not outcome.is_stuck:
                await reloading
        finally:
            reloading.cancel()
        for network in networks:
            outcome.cuts += network.cuts
        outcome.fewest_cuts = min(network.cuts.total() for network in networks)
        for network in networks:
            network.be_kind()
        for program in programs:
            await program.tell("finish")
        await _await_all(programs, "quiet")
        newest = [json.loads(await program.says(10)) for program in programs]
        await asyncio.to_thread(_await_handled, folder, {name: last for each in newest for name, last in each.items()})
        for each in servers:
            await _await_written(each)
        for program in programs:
            await program.tell("last")
        books = [book for program in programs for book in json.loads(await program.says(90))]
    await asyncio.to_thread((folder / "books.json").write_text, json.dumps(books))
    await asyncio.to_thread(_await_ends, folder, {book["id"] for book in books})
    outcome.findings = judged(books, _notes(folder), buffer_frames=BUFFER_FRAMES)
    if outcome.is_stuck:
        outcome.findings.faults.append("a line could not be cut so often: it did not come back")
    outcome.duration_s = time.monotonic() - began
    return outcome


def _await_handled(folder: Path, newest: dict[str, int]) -> None:
    """Until the server has handled what each client has said, up to the number of the newest frame that it takes. A flood that it
    still works out would push out last frames, which would be told and never come."""
    deadline = time.monotonic() + 60.0
    while unhandled := _unhandled(_notes(folder), newest):
        assert time.monotonic() < deadline, f"the server has not handled what {unhandled} have said"
        time.sleep(0.05)


def _unhandled(notes: Iterable[list[Any]], newest: dict[str, int]) -> list[str]:
    """Whose frames are not all handled. What was under way when a session ended is not waited for."""
    taken: dict[str, int] = {}
    under_way: dict[str, set[tuple[str, int]]] = {}
    for what, client, *rest in notes:
        frames = under_way.setdefault(client, set())
        if what == "taken":
            session, number, _ = rest
            taken[client] = max(number, taken.get(client, -1))
            frames.add((session, number))
        else:
            frames -= {each for each in frames if each[1 if what == "handled" else 0] == rest[0]}
    return [client for client, last in newest.items() if under_way.get(client) or taken.get(client, -1) < last]


async def _await_written(server: ServerProcess) -> None:
    """Until nothing waits for any client, so that none of the last frames is pushed out, which would be told and never come."""
    async with AsyncControl(server.control) as control:
        deadline = time.monotonic() + 60.0
        while any(each.queued for each in await control.connections()):
            assert time.monotonic() < deadline, "frames still wait for clients that read"
            await asyncio.sleep(0.05)


def _settings(crowd: Crowd) -> dict[str, Any]:
    names = ("period_s", "floods", "stall", "base_s", "max_s", "seed")
    return {name: getattr(crowd, name) for name in names}


async def _cut(networks: list[BadNetwork], outcome: Outcome) -> None:
    """Until each client was cut as often as it is to be, or a line does not come back any more, of which its book tells."""
    cuts, since = 0, time.monotonic()
    while not all(network.is_done for network in networks):
        await asyncio.sleep(0.1)
        now_cut = sum(network.cuts.total() for network in networks)
        if now_cut > cuts:
            cuts, since = now_cut, time.monotonic()
        elif time.monotonic() > since + _STILL_S:
            outcome.is_stuck = True
            return


async def _await_all(programs: list[Program], word: str) -> None:
    said = await asyncio.gather(*(program.says(150) for program in programs))
    # One that is not says so, and why is in its book.
    for program, each in zip(programs, said, strict=True):
        if each != word:
            print(f"{program.language}: {each}", file=sys.stderr)


async def _reload(server: ServerProcess, networks: list[BadNetwork], crowd: Crowd, outcome: Outcome) -> None:
    """Replace all workers, when so many of the cuts are made."""
    total = crowd.cuts * len(networks)
    async with AsyncControl(server.control, timeout=120) as control:
        for number in range(crowd.reloads):
            while sum(network.cuts.total() for network in networks) < total * (number + 1) / (crowd.reloads + 1):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            await control.reload()
            outcome.reloads += 1


def _notes(folder: Path) -> Iterator[list[Any]]:
    """Those of all workers, by their time; what one has noted stays in its order."""
    notes = []
    for path in folder.glob("notes-*"):
        newest = 0.0
        for line in path.read_text().splitlines():
            note = json.loads(line)
            newest = max(newest, *(part for part in note[3:] if isinstance(part, float)), 0.0)
            notes.append((newest, note))
    notes.sort(key=lambda each: each[0])
    return iter([note for _, note in notes])


def _await_ends(folder: Path, clients: set[str]) -> None:
    """Until the server has noted the end of each session, at most 10 s."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        open_sessions = Counter(
            {"begin": 1, "end": -1}.get(note[0], 0) for note in _notes(folder) if note[0] in ("begin", "end")
        )
        if open_sessions[1] == open_sessions[-1]:
            return
        time.sleep(0.2)


def report(outcome: Outcome) -> str:
    """The figures, in words."""
    found = outcome.findings
    ways = ", ".join(f"{count:,} by {how}" for how, count in sorted(outcome.cuts.items()))
    refused = ", ".join(f"{count} {name}" for name, count in sorted(found.refused.items())) or "none"
    return "\n".join(
        (
            f"{found.said:,} frames said, {found.handled:,} handled, {found.heard:,} heard, in {outcome.duration_s:.0f} s",
            f"{outcome.cuts.total():,} cuts ({ways}), at least {outcome.fewest_cuts} of each client; {outcome.reloads} reloads",
            f"{found.resumed:,} times back with the session, {found.sessions:,} sessions",
            f"told as lost: {found.lost_living:,} on a living line, {found.lost_away:,} on coming back",
            f"of these {found.lost_exactly:,} in sessions of which the number is known to one",
            f"handed back: {found.handed_back:,}, of which {found.handed_back_unhandled:,} were not handled",
            f"what calls of the server raised: {refused}",
            f"{len(found.faults)} faults",
        )
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/exact-crowd", description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=100, help="of each language (default: %(default)s)")
    parser.add_argument("--cuts", type=int, default=50, help="of each client (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=4, help="of the server (default: %(default)s)")
    parser.add_argument("--reloads", type=int, default=2, help="of all workers meanwhile (default: %(default)s)")
    parser.add_argument(
        "--period", type=float, default=2.0, help="seconds between a client's frames (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn (default: %(default)s)")
    parser.add_argument("--keep", metavar="FOLDER", help="keep the server's notes and its log there")
    options = parser.parse_args()
    if not any(node_of(version) for version in VERSIONS):
        print("there is no Node here; scripts/node brings it", file=sys.stderr)
        return 2
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 16384)), hard))
    crowd = Crowd(options.clients, options.cuts, options.reloads, period_s=options.period, seed=options.seed)
    with tempfile.TemporaryDirectory(prefix="wspulse-crowd-") as name:
        folder = Path(options.keep or name)
        folder.mkdir(exist_ok=True)
        shutil.copy(APP, folder / "app.py")
        with serve_process("--app", "app:server", *OPTIONS, workers=options.workers, cwd=folder) as server:
            outcome = asyncio.run(exact_crowd(server, folder, crowd))
            (folder / "server.log").write_text(server.stderr())
    # Of a line that has ended much else follows.
    print("\n".join(sorted(outcome.findings.faults, key=lambda fault: "has ended" not in fault)[:20]))
    print(report(outcome))
    return 1 if outcome.findings.faults else 0


if __name__ == "__main__":
    sys.exit(main())
