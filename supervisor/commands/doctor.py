"""`wspulse doctor`: can this machine hold so many connections, and what is to be changed where it cannot?

`examine` decides from facts (`machine`) without looking at the machine; the rest is the command line.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from wspulse.supervisor.commands.parser import CommandParser, UnparsableError, argument_of
from wspulse.supervisor.commands.table import bytes_text
from wspulse.supervisor.commands.terminal import exit_code_of, print_error, print_text
from wspulse.supervisor.host.descriptor_limit import OTHERS, PER_WORKER
from wspulse.supervisor.premises.listeners.listen_socket import BACKLOG, address_text
from wspulse.supervisor.premises.machine import Machine, read_machine
from wspulse.supervisor.settings.kinds import Integer

__all__ = ["Finding", "Plan", "doctor", "examine"]

UNEVEN = 1.2
"""Ids fall onto shards by a hash: the fullest of 16 shards holds less than 1.2 times its share of 10,000 connections."""

WORKER_OTHERS = 200
"""A worker's descriptors besides its connections: links to the other shards, ZeroMQ, the loop, newcomers on their way."""

CONNECTION_BYTES = 16 * 1024
"""An idle connection: measured 4.4 KB in the worker, the rest for the kernel's side of the socket and a little traffic."""

WORKER_BYTES = 64 * 1024 * 1024
"""A worker without connections, an application of some size included."""

PAGE_PER_CONNECTION = 4096
"""Of TCP memory: the kernel counts whole pages, and an idle socket has none. One each is the least for traffic."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the machine is to hold."""

    connections: int
    workers: int
    host: str = "127.0.0.1"
    port: int = 8000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. "change": it will not do; "advice": it will, and could be better; "unknown" here."""

    name: str
    level: Literal["fine", "advice", "change", "unknown"]
    text: str
    remedy: str = ""


def examine(machine: Machine, plan: Plan) -> list[Finding]:
    """Everything, in the order in which a person would ask."""
    return [finding for check in _CHECKS for finding in check(machine, plan)]


def _python(machine: Machine, _plan: Plan) -> Iterator[Finding]:
    text = "Python " + ".".join(map(str, machine.python))
    if machine.python < (3, 11):
        yield Finding("python", "change", text, "install Python 3.11 or newer")
    else:
        yield Finding("python", "fine", text)
    if machine.uvloop is None:
        yield Finding("uvloop", "change", "uvloop is not installed", "pip install uvloop")
    else:
        yield Finding("uvloop", "fine", f"uvloop {machine.uvloop}")
    if machine.setproctitle is None:
        remedy = 'pip install "wspulse[titles]"'
        yield Finding("titles", "advice", "ps and top show all workers as python (no setproctitle)", remedy)


def _cores(machine: Machine, plan: Plan) -> Iterator[Finding]:
    usable = machine.usable_cores
    text = f"{usable} of {machine.machine_cores} cores may be used; {plan.workers} workers"
    if plan.workers > usable:
        yield Finding("cores", "advice", text, f"--workers {usable}: more workers than cores only share them")
    else:
        yield Finding("cores", "fine", text)


def _descriptors(machine: Machine, plan: Plan) -> Iterator[Finding]:
    needed = math.ceil(plan.connections / plan.workers * UNEVEN) + WORKER_OTHERS + plan.workers
    needed = max(needed, plan.workers * PER_WORKER + OTHERS)
    hard = machine.descriptors_hard
    soft = "no limit" if machine.descriptors_soft is None else str(machine.descriptors_soft)
    if hard is None:
        yield Finding("descriptors", "fine", f"soft limit {soft}, no hard limit")
    else:
        most = max(0, int((hard - WORKER_OTHERS - plan.workers) / UNEVEN)) * plan.workers
        text = f"soft limit {soft} (workers raise it), hard limit {hard}: up to {most} connections in {plan.workers} workers"
        if hard < needed:
            wanted = _round_up(needed)
            remedy = (
                f"allow {wanted} per process: LimitNOFILE={wanted} in a systemd unit, --ulimit nofile={wanted} with Docker, "
                f"ulimit -Hn {wanted} as root before the start"
            )
            yield Finding("descriptors", "change", text, remedy)
        else:
            yield Finding("descriptors", "fine", text)
    files = machine.system_files
    if files is not None and files < plan.connections:
        wanted = _round_up(plan.connections * 2)
        yield Finding("files", "change", f"the system may open {files} files more", f"sysctl -w fs.file-max={wanted}")


def _backlog(machine: Machine, plan: Plan) -> Iterator[Finding]:
    size = machine.somaxconn
    if size is None:
        yield Finding("backlog", "unknown", "net.core.somaxconn cannot be read here")
        return
    text = f"net.core.somaxconn = {size}: so many connections may wait to be accepted"
    if size >= BACKLOG or size >= plan.connections:
        yield Finding("backlog", "fine", text)
    else:
        # They try again a second later, so it works; but when a worker dies, its clients all come at once.
        yield Finding("backlog", "advice", text, f"sysctl -w net.core.somaxconn={BACKLOG}")


def _memory(machine: Machine, plan: Plan) -> Iterator[Finding]:
    needed = plan.connections * CONNECTION_BYTES + plan.workers * WORKER_BYTES
    need_text = f"idle connections need about {bytes_text(needed)}, and busy ones what waits for them"
    if machine.memory is None:
        yield Finding("memory", "unknown", f"free memory cannot be read here; {need_text}")
    else:
        text = f"{bytes_text(machine.memory)} free; {need_text}"
        if machine.memory < needed:
            yield Finding("memory", "change", text, "give it more memory, or plan fewer connections")
        else:
            yield Finding("memory", "fine", text)
    if machine.tcp_memory is not None:
        text = f"TCP may use {bytes_text(machine.tcp_memory)} for what is under way"
        pages = _round_up(plan.connections * 4)
        remedy = f'sysctl -w net.ipv4.tcp_mem="{pages // 2} {pages * 3 // 4} {pages}" (in pages)'
        if machine.tcp_memory < plan.connections * PAGE_PER_CONNECTION:
            yield Finding("tcp memory", "change", text, remedy)
        elif machine.tcp_memory < plan.connections * PAGE_PER_CONNECTION * 4:
            yield Finding("tcp memory", "advice", text, remedy)
        else:
            yield Finding("tcp memory", "fine", text)


def _network(machine: Machine, plan: Plan) -> Iterator[Finding]:
    if machine.conntrack is not None and machine.conntrack < plan.connections:
        wanted = _round_up(plan.connections * 2)
        text = f"the firewall follows {machine.conntrack} connections; others are dropped"
        yield Finding("conntrack", "change", text, f"sysctl -w net.netfilter.nf_conntrack_max={wanted}")
    if machine.local_ports is not None and machine.local_ports < plan.connections:
        text = f"{machine.local_ports} local ports: a proxy on this machine can hold no more connections to one address"
        remedy = (
            'sysctl -w net.ipv4.ip_local_port_range="1024 65535", or several addresses in the proxy (doc/deploy.md)'
        )
        yield Finding("local ports", "advice", text, remedy)


def _places(machine: Machine, plan: Plan) -> Iterator[Finding]:
    if machine.runtime_dir_problem is None:
        yield Finding("runtime directory", "fine", "it can be made, and its sockets are ours alone")
    else:
        remedy = "set XDG_RUNTIME_DIR to a folder of this user, mode 0700"
        yield Finding("runtime directory", "change", machine.runtime_dir_problem, remedy)
    if machine.port_problem is None:
        yield Finding("port", "fine", f"{address_text(plan.host, plan.port)} is free")
    else:
        text, _, remedy = machine.port_problem.partition("; ")
        yield Finding("port", "change", text, remedy)


_CHECKS: tuple[Callable[[Machine, Plan], Iterator[Finding]], ...] = (
    _python, _cores, _descriptors, _backlog, _memory, _network, _places,
)  # fmt: skip


def _round_up(number: int) -> int:
    """To a power of two: limits are set once, with room to grow."""
    return 1 << (number - 1).bit_length()


# The command line.

_COUNT = argument_of(Integer(1, 100_000_000))


def doctor(argv: Sequence[str]) -> int:
    """`wspulse doctor ...`. Returns 0 when nothing must change, 1 when something must, 2 for wrong arguments."""
    return exit_code_of(lambda: _doctor(argv))


def _doctor(argv: Sequence[str]) -> int:
    parser = CommandParser(
        prog="wspulse doctor",
        description="See whether this machine can hold so many connections. Exit code 1 when something must change.",
    )
    parser.add_argument("--connections", type=_COUNT, default=10_000, metavar="N", help="how many (default: 10000)")
    parser.add_argument("--workers", type=_COUNT, metavar="N", help="worker processes (default: the usable cores)")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    parser.add_argument(
        "--port", type=argument_of(Integer(0, 65535)), default=8000, help="the port to listen on (default: 8000)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    try:
        arguments = parser.parse_args(list(argv))
    except UnparsableError as error:
        print_error(f"{parser.format_usage()}{parser.prog}: error: {error}")
        return 2
    machine = read_machine(arguments.host, arguments.port)
    plan = Plan(arguments.connections, arguments.workers or machine.usable_cores, arguments.host, arguments.port)
    plan = replace(plan, workers=min(plan.workers, 1024))
    findings = examine(machine, plan)
    is_fine = all(finding.level != "change" for finding in findings)
    if arguments.json:
        report = {"fine": is_fine, "plan": asdict(plan), "findings": [asdict(finding) for finding in findings]}
        print_text(json.dumps(report, ensure_ascii=False, indent=2))
    else:
        print_text(_text(plan, findings))
    return 0 if is_fine else 1


def _text(plan: Plan, findings: list[Finding]) -> str:
    width = max(len(finding.name) for finding in findings)
    lines = [f"{plan.connections} connections in {plan.workers} workers on {address_text(plan.host, plan.port)}", ""]
    for finding in findings:
        lines.append(f"  {finding.level:7}  {finding.name:{width}}  {finding.text}")
        if finding.remedy:
            lines.append(f"  {'':7}  {'':{width}}  → {finding.remedy}")
    changes = sum(finding.level == "change" for finding in findings)
    return "\n".join([*lines, "", f"{changes} to change" if changes else "nothing must change"])
