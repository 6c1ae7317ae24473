"""What the facts of a machine mean for a server that is to hold so many connections there: what will do, what could be better,
what must change and how.

Used by `wspulse doctor`. It decides from facts (`machine`) without looking at the machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from wspulse.supervisor.commands.doctor.machine import Machine
from wspulse.supervisor.commands.table import bytes_text, counted
from wspulse.supervisor.host.descriptor_limit import OTHERS, PER_WORKER
from wspulse.supervisor.premises.listeners.listen_socket import BACKLOG, address_text

__all__ = ["Finding", "Plan", "examine"]

UNEVEN = 1.2
"""Ids fall onto shards by a hash: the fullest of 16 shards holds less than 1.2 times its share of 10,000 connections."""

WORKER_OTHERS = 200
"""A worker's descriptors besides its connections: links to the other shards, ZeroMQ, the loop, newcomers on their way."""

CONNECTION_BYTES = 16 * 1024
"""An idle connection: 2.9 KB in the worker (bench/REPORT.md), the rest for the kernel's side of the socket and some traffic."""

WORKER_BYTES = 64 * 1024 * 1024
"""A worker without connections, an application of some size included."""

PAGE_PER_CONNECTION = 4096
"""Of TCP memory: the kernel counts whole pages, and an idle socket has none. One each is the least for traffic."""

RENEWED_DAYS = 14
"""ACME clients renew 30 days before the end: one that is left with less has most likely stopped doing so."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the machine is to hold."""

    connections: int
    workers: int
    hosts: tuple[str, ...] = ("127.0.0.1",)
    port: int = 8000
    unix_socket: str | None = None
    extras: Mapping[str, str] = field(default_factory=dict)
    """Those that it needs, and for what."""

    @property
    def places(self) -> list[str]:
        """Where it listens."""
        places = [address_text(host.strip("[]"), self.port) for host in self.hosts]
        return places if self.unix_socket is None else [*places, self.unix_socket]


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
    if machine.missing.get("titles"):
        remedy = 'pip install "wspulse[titles]"'
        yield Finding("titles", "advice", "ps and top show every worker as python: setproctitle is missing", remedy)


def _extras(machine: Machine, plan: Plan) -> Iterator[Finding]:
    """Which of the optional parts of the package are there."""
    needed = [extra for extra in plan.extras if machine.missing.get(extra)]
    if needed:
        text = "; ".join(f"{plan.extras[extra]} needs {' and '.join(machine.missing[extra])}" for extra in needed)
        yield Finding("extras", "change", f"{text}: not installed", f'pip install "wspulse[{",".join(needed)}]"')
        return
    there = [extra for extra, packages in machine.missing.items() if not packages]
    absent = [extra for extra, packages in machine.missing.items() if packages]
    if machine.missing:
        text = f"installed: {', '.join(there) or 'none'}; not installed: {', '.join(absent) or 'none'}"
        yield Finding("extras", "fine", text)


def _cores(machine: Machine, plan: Plan) -> Iterator[Finding]:
    usable = machine.usable_cores
    text = f"{usable} of {machine.machine_cores} cores are available; {counted(plan.workers, 'worker')}"
    if plan.workers > usable:
        yield Finding("cores", "advice", text, f"--workers {usable}: more workers than cores only compete for them")
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
        workers = counted(plan.workers, "worker")
        text = f"soft limit {soft} (workers raise it), hard limit {hard}: up to {most} connections in {workers}"
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
        yield Finding(
            "files", "change", f"the system can open only {files} more files", f"sysctl -w fs.file-max={wanted}"
        )


def _backlog(machine: Machine, plan: Plan) -> Iterator[Finding]:
    size = machine.somaxconn
    if size is None:
        yield Finding("backlog", "unknown", "net.core.somaxconn cannot be read here")
        return
    text = f"net.core.somaxconn = {size}: the number of connections that can wait to be accepted"
    if size >= BACKLOG or size >= plan.connections:
        yield Finding("backlog", "fine", text)
    else:
        # They try again a second later, so it works; but when a worker dies, its clients all come at once.
        yield Finding("backlog", "advice", text, f"sysctl -w net.core.somaxconn={BACKLOG}")


def _memory(machine: Machine, plan: Plan) -> Iterator[Finding]:
    needed = plan.connections * CONNECTION_BYTES + plan.workers * WORKER_BYTES
    need_text = f"idle connections need about {bytes_text(needed)}; busy ones also need room for their queued frames"
    if machine.memory is None:
        yield Finding("memory", "unknown", f"free memory cannot be read here; {need_text}")
    else:
        text = f"{bytes_text(machine.memory)} free; {need_text}"
        if machine.memory < needed:
            yield Finding("memory", "change", text, "add memory, or plan for fewer connections")
        else:
            yield Finding("memory", "fine", text)
    if machine.tcp_memory is not None:
        text = f"TCP may use {bytes_text(machine.tcp_memory)} for data in flight"
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
        text = f"the firewall can track {machine.conntrack} connections and drops any others"
        yield Finding("conntrack", "change", text, f"sysctl -w net.netfilter.nf_conntrack_max={wanted}")
    if machine.local_ports is not None and machine.local_ports < plan.connections:
        text = f"{machine.local_ports} local ports: a proxy on this machine cannot open more connections than that to one address"
        remedy = (
            'sysctl -w net.ipv4.ip_local_port_range="1024 65535", or several addresses for the proxy to connect to: '
            "--host 127.0.0.1 --host 127.0.0.2"
        )
        yield Finding("local ports", "advice", text, remedy)


def _places(machine: Machine, plan: Plan) -> Iterator[Finding]:
    if machine.runtime_dir_problem is None:
        yield Finding("runtime directory", "fine", "it can be created, and only this user can reach its sockets")
    else:
        remedy = "set XDG_RUNTIME_DIR to a folder that belongs to this user, with mode 0700"
        yield Finding("runtime directory", "change", machine.runtime_dir_problem, remedy)
    if plan.hosts:
        free = f"{', '.join(address_text(host.strip('[]'), plan.port) for host in plan.hosts)} is free"
        yield _place("port", machine.port_problem, free)
    if plan.unix_socket is not None:
        yield _place("unix socket", machine.unix_socket_problem, f"{plan.unix_socket} can be created")
    yield _place("control", machine.control_problem, "no other user can reach the control socket")


def _certificate(machine: Machine, _plan: Plan) -> Iterator[Finding]:
    days = machine.certificate_days
    if machine.certificate_problem is not None:
        yield _place("certificate", machine.certificate_problem, "")
    elif days is not None:
        text = f"valid for {counted(days, 'more day')}"
        if days < RENEWED_DAYS:
            yield Finding("certificate", "advice", text, "renew it and reload the server (wspulse reload)")
        else:
            yield Finding("certificate", "fine", text)


def _place(name: str, problem: str | None, fine: str) -> Finding:
    if problem is None:
        return Finding(name, "fine", fine)
    text, _, remedy = problem.partition("; ")
    return Finding(name, "change", text, remedy)


_CHECKS: tuple[Callable[[Machine, Plan], Iterator[Finding]], ...] = (
    _python, _extras, _cores, _descriptors, _backlog, _memory, _network, _places, _certificate,
)  # fmt: skip


def _round_up(number: int) -> int:
    """To a power of two: limits are set once, with room to grow."""
    return 1 << (number - 1).bit_length()
