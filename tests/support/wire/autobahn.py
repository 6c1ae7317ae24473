"""Autobahn|Testsuite's fuzzing client against a server (`scripts/conformance`, tests/process/test_autobahn.py).

The suite runs on Python 2.7 only. It gets a virtual environment of its own under build/autobahn, made with the last
virtualenv that knows how; where there is no Python 2.7, or no package index, `prepare` raises Unavailable and says why.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.support.processes.server_process import serve_process

__all__ = ["ECHO_SERVER", "PLAIN_CASES", "SOME_COMPRESSED_CASES", "Outcome", "Unavailable", "prepare", "run_cases"]

REQUIREMENTS = ("virtualenv==20.21.1", "autobahntestsuite==25.10.1")

HOME = Path(__file__).parents[3] / "build" / "autobahn"

PLAIN_CASES = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*")
"""Of clients that offer no compression."""

SOME_COMPRESSED_CASES = ("12.1.3", "12.2.4", "13.3.4", "13.6.3")
"""Of those that do: each a thousand messages of one size, of text and of images, with and without contexts and with small ones.
All 216 of them take twenty minutes."""

DEFAULT_CASES = (*PLAIN_CASES, "12.*", "13.*")

ECHO_SERVER = (
    *("--app", "echo", "--codec", "raw", "--max-message-size", str(64 * 1024 * 1024)),
    *("--compression", "deflate"),
)
"""Cases send and expect messages as they are, of up to 16 MiB."""

INSTALL_DEADLINE_S = 600
RUN_DEADLINE_S = 3600

_PASSED = frozenset({"OK", "NON-STRICT", "INFORMATIONAL"})


class Unavailable(Exception):
    """The suite cannot be run on this machine; the text says why."""


class Outcome(NamedTuple):
    """Case numbers by behaviour. What is neither OK, NON-STRICT nor INFORMATIONAL, or closed wrongly, is FAILED."""

    cases: dict[str, list[str]]

    @property
    def failed(self) -> list[str]:
        return self.cases.get("FAILED", [])

    def __str__(self) -> str:
        counts = [f"{behaviour}: {len(numbers)}" for behaviour, numbers in self.cases.items()]
        named = ("NON-STRICT", "FAILED")
        return "\n".join(
            counts + [f"{name} cases: {', '.join(self.cases[name])}" for name in named if self.cases.get(name)]
        )


def prepare() -> Path:
    """The `wstest` program, installed when it is not there yet (a minute or two). Raises Unavailable."""
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wstest = HOME / "python2.7" / "bin" / "wstest"
        stamp = HOME / "installed"
        if not stamp.exists() or stamp.read_text() != str(REQUIREMENTS):
            stamp.unlink(missing_ok=True)
            _install(_find_python27())
            stamp.write_text(str(REQUIREMENTS))
        return wstest


def _find_python27() -> str:
    # Every pyenv version beside the path: pyenv's own python2.7 on the path only runs where it is selected.
    candidates = [shutil.which("python2.7"), *map(str, Path.home().glob(".pyenv/versions/2.7*/bin/python2.7"))]
    for candidate in candidates:
        if candidate and not subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode:
            return candidate
    raise Unavailable("no Python 2.7 on the path or under ~/.pyenv/versions, which Autobahn|Testsuite needs")


def _install(python27: str) -> None:
    virtualenv, suite = REQUIREMENTS
    maker = HOME / "maker"
    target = HOME / "python2.7"
    for folder in (maker, target):
        shutil.rmtree(folder, ignore_errors=True)
    venv.create(maker, with_pip=True)
    _run_quietly(maker / "bin" / "python", "-m", "pip", "install", virtualenv)
    _run_quietly(maker / "bin" / "virtualenv", "--python", python27, target)
    _run_quietly(target / "bin" / "pip", "install", suite)


def _run_quietly(*command: str | Path) -> None:
    try:
        finished = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, check=False, timeout=INSTALL_DEADLINE_S
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{command[-1]} took over {INSTALL_DEADLINE_S} s to install") from None
    if finished.returncode:
        raise Unavailable(f"{command[-1]} could not be installed:\n{finished.stderr[-2000:]}")


def run_cases(
    wstest: Path, url: str, cases: Sequence[str], on_case: Callable[[str], None] = lambda case: None
) -> Outcome:
    """Run the cases that match, such as "6.4.*", against the server at `url`. `on_case` hears of each one's start."""
    with (
        tempfile.TemporaryDirectory(prefix="wspulse-autobahn-") as folder,
        _fuzzing_client(wstest, url, cases, folder) as lines,
    ):
        for line in lines:
            if started := re.search(r"Running test case ID (\S+)", line):
                on_case(started[1])
        index = Path(folder, "index.json")
        if not index.exists():
            raise RuntimeError(f"{wstest} left no report; is the server at {url} up?")
        (results,) = json.loads(index.read_text()).values()
    by_behaviour: dict[str, list[str]] = {"OK": [], "NON-STRICT": [], "INFORMATIONAL": [], "FAILED": []}
    for case in sorted(results, key=lambda case: [int(part) for part in case.split(".")]):
        behaviour, close = results[case]["behavior"], results[case]["behaviorClose"]
        if behaviour not in _PASSED or close not in _PASSED:
            by_behaviour["FAILED"].append(f"{case} ({behaviour}, close {close})")
        else:
            by_behaviour[behaviour].append(case)
    return Outcome(by_behaviour)


@contextmanager
def _fuzzing_client(wstest: Path, url: str, cases: Sequence[str], folder: str) -> Iterator[Iterator[str]]:
    """The lines that the client prints while it runs."""
    spec = Path(folder, "spec.json")
    server = {"agent": "wspulse", "url": url, "options": {"version": 18}}
    spec.write_text(
        json.dumps(
            {
                "outdir": folder,
                "servers": [server],
                "cases": list(cases),
                "exclude-cases": [],
                "exclude-agent-cases": {},
            }
        )
    )
    process = subprocess.Popen(
        ["timeout", str(RUN_DEADLINE_S), wstest, "-m", "fuzzingclient", "-s", spec, "-u", "0"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    with process:
        try:
            yield process.stdout
        finally:
            if process.poll() is None:
                process.terminate()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/conformance", description="Autobahn|Testsuite against the echo server."
    )
    parser.add_argument(
        "--cases", default=" ".join(DEFAULT_CASES), help="which, such as '1.* 6.4.*' (default: %(default)s)"
    )
    parser.add_argument("--url", help="of an echo server that runs already, instead of one of our own")
    options = parser.parse_args()
    try:
        wstest = prepare()
    except Unavailable as reason:
        print(f"conformance: skipped: {reason}")
        return 0

    counts: Counter[str] = Counter()

    def show(case: str) -> None:
        counts["started"] += 1
        if sys.stdout.isatty():
            print(f"\rcase {counts['started']}: {case}        ", end="", flush=True)

    cases = options.cases.split()
    if options.url:
        outcome = run_cases(wstest, options.url, cases, show)
    else:
        with serve_process(*ECHO_SERVER, workers=1) as server:
            outcome = run_cases(wstest, server.url, cases, show)
    print(f"\r{outcome}")
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(main())
