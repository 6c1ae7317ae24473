"""What is measured: a server of ours as users start it, the floor in C, or a peer; each started once and kept through all
rounds, so that variants can take turns."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

from bench.support.native import BUILD, ROOT, native
from tests.support.processes.server_process import serve_process

__all__ = ["PEERS", "Running", "Subject", "floor", "peer", "wspulse"]

PEERS = ("picows", "aiohttp", "websockets", "fastapi", "socketio")

_PACKAGES = (
    "picows",
    "aiohttp",
    "websockets",
    "fastapi",
    "python-socketio",
    "uvicorn",
    "uvloop",
    "httptools",
    "orjson",
)


class Running(NamedTuple):
    port: int
    pids: tuple[int, ...]
    dialect: str = "plain"
    """What the load generator has to speak."""
    other_ports: tuple[int, ...] = ()
    """Where clients connect in turn, too."""
    beside: tuple[tuple[int, ...], ...] = ()
    """Groups of processes whose CPU time is told apart, and counts too."""


Subject = Callable[[], AbstractContextManager[Running]]


def wspulse(app: str, *options: str, workers: int = 1, dialect: str = "plain") -> Subject:
    """`python -m wspulse.supervisor`; what is measured is the supervisor and all workers."""

    @contextmanager
    def start() -> Iterator[Running]:
        with serve_process("--app", app, *options, workers=workers, cwd=ROOT) as server:
            yield Running(server.port, tuple(sorted(server.pids())), dialect)

    return start


def floor(mode: str) -> Subject:
    """`bench/native/floor.c`."""
    return lambda: _program([str(native("floor")), mode])


def peer(name: str, mode: str) -> Subject:
    """A server of `bench/peers`, with the packages of PyPI in a venv of their own."""
    dialect = "socketio" if name == "socketio" else "plain"
    return lambda: _program([_peer_python(), str(ROOT / "bench" / "peers" / f"{name}_server.py"), mode], dialect)


@contextmanager
def _program(command: list[str], dialect: str = "plain") -> Iterator[Running]:
    """A server that prints its port and ends with its stdin. What it complains of goes to a file beside the programs."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (
        (BUILD / "programs.log").open("ab") as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Running(int(process.stdout.readline()), (process.pid,), dialect)
        finally:
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def _peer_python() -> str:
    venv = BUILD / "peers"
    python = venv / "bin" / "python"
    stamp = venv / ("installed-" + "-".join(_PACKAGES))
    if not stamp.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *_PACKAGES]
        subprocess.run(install, check=True)
        stamp.touch()
    return str(python)
