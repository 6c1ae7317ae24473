"""How much memory does an idle connection take? Resident KB of all server processes, 5,000 connections, divided by their
number; 500 that came and went before have warmed the server up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.support.rounds import Case, arguments, connected, load, measure_cases
from bench.support.subjects import PEERS, Running, Subject, floor, peer, wspulse

CONNECTIONS = 5000


def fresh(subject: Subject) -> Any:
    """A server is measured once in its life: what it took it rarely gives back."""

    def measure(_placeholder: Running) -> dict[str, Any]:
        with subject() as running:
            load(running, "connect", "--connections", 500, "--leave")
            before = resident_kb(running)
            with connected(running, CONNECTIONS):
                return {"figure": (resident_kb(running) - before) / CONNECTIONS, "server_kb": before}

    return measure


def resident_kb(running: Running) -> float:
    return sum(_resident_kb(pid) for pid in running.pids)


def _resident_kb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmRSS")))


def main() -> None:
    chosen = arguments(__doc__)
    subjects: list[tuple[str, Subject, float | None, float | None]] = [
        ("floor", floor("echo"), None, None),
        ("wspulse", wspulse("relay"), 4, 3),
        ("wspulse, resume on", wspulse("relay", "--resume-window", "30"), 5, 3),
    ]
    if chosen.peers:
        subjects += [(name, peer(name, "fanout"), None, None) for name in PEERS]
    idle = floor("echo")
    cases = [Case(name, idle, fresh(subject), limit=limit, aim=aim) for name, subject, limit, aim in subjects]
    measure_cases("idle_memory", __doc__ or "", "KB/connection", cases, chosen)


if __name__ == "__main__":
    main()
