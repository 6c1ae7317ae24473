"""What `wspulse doctor` reads of the machine: limits of the process, of its control group and of the kernel.

Facts only; what they mean is decided in `examination`. A fact that this system does not tell is None.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wspulse.supervisor.errors import StartError
from wspulse.supervisor.host.cores import usable_cores
from wspulse.supervisor.host.installed import installed_version, missing_of_extras
from wspulse.supervisor.host.kernel_facts import fact_number, fact_numbers, fact_text, group_folders
from wspulse.supervisor.host.port_holder import port_holder
from wspulse.supervisor.premises.listeners.listen_socket import AddressTakenError, address_text, open_listener
from wspulse.supervisor.premises.runtime_dir import RuntimeDir, find_predecessor, refusal

__all__ = ["Machine", "read_machine"]

_PROBED_PORT = 65536
"""No server has it: its runtime directory can be made and removed while servers run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The facts. Sizes in bytes; a limit that is none is None too."""

    python: tuple[int, int, int]
    uvloop: str | None
    missing: Mapping[str, Sequence[str]]
    """By extra of the package: what it would need and is not installed."""
    machine_cores: int
    usable_cores: int
    descriptors_soft: int | None
    descriptors_hard: int | None
    system_files: int | None
    """How many open files the whole system may still have."""
    somaxconn: int | None
    tcp_memory: int | None
    conntrack: int | None
    local_ports: int | None
    memory: int | None
    """What is free, in the machine and in the control group."""
    runtime_dir_problem: str | None
    port_problem: str | None
    unix_socket_problem: str | None = None
    control_problem: str | None = None
    certificate_problem: str | None = None
    certificate_days: int | None = None
    """For how long it is still good."""


def read_machine(
    hosts: Sequence[str],
    port: int,
    root: Path = Path("/"),
    environ: Mapping[str, str] = os.environ,
    *,
    unix_socket: str | None = None,
    control_problem: str | None = None,
) -> Machine:
    """Read everything; `root` is where /proc and /sys are. What is wrong with the control socket the settings tell."""
    soft, hard = (
        None if limit == resource.RLIM_INFINITY else limit for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    tcp = fact_numbers(root / "proc/sys/net/ipv4/tcp_mem")
    ports = fact_numbers(root / "proc/sys/net/ipv4/ip_local_port_range")
    files = fact_numbers(root / "proc/sys/fs/file-nr")
    return Machine(
        python=sys.version_info[:3],
        uvloop=installed_version("uvloop"),
        missing=missing_of_extras("wspulse"),
        machine_cores=os.cpu_count() or 1,
        usable_cores=usable_cores(root),
        descriptors_soft=soft,
        descriptors_hard=hard,
        system_files=files[2] - files[0] if len(files) == 3 else None,
        somaxconn=fact_number(root / "proc/sys/net/core/somaxconn"),
        tcp_memory=tcp[2] * os.sysconf("SC_PAGE_SIZE") if len(tcp) == 3 else None,
        conntrack=fact_number(root / "proc/sys/net/netfilter/nf_conntrack_max"),
        local_ports=ports[1] - ports[0] + 1 if len(ports) == 2 else None,
        memory=_free_memory(root),
        runtime_dir_problem=_runtime_dir_problem(environ),
        port_problem=next(filter(None, (_port_problem(host, port, root, environ) for host in hosts)), None),
        unix_socket_problem=None if unix_socket is None else _unix_socket_problem(Path(unix_socket)),
        control_problem=control_problem,
    )


def _free_memory(root: Path) -> int | None:
    lines = fact_text(root / "proc/meminfo").splitlines()
    free = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    for folder in group_folders(root):
        limit, used = fact_number(folder / "memory.max"), fact_number(folder / "memory.current")
        if limit is not None and used is not None:
            free.append(max(0, limit - used))
    return min(free, default=None)


def _runtime_dir_problem(environ: Mapping[str, str]) -> str | None:
    try:
        RuntimeDir.claim(_PROBED_PORT + os.getpid(), environ).release()
    except StartError as error:
        return str(error).removeprefix("wspulse: ")
    except OSError as error:
        return str(error)
    return None


def _port_problem(host: str, port: int, root: Path, environ: Mapping[str, str]) -> str | None:
    """Why nobody can listen there, and who does."""
    try:
        open_listener(host, port).close()
    except AddressTakenError as error:
        predecessor = find_predecessor(port, error.address, environ)
        if predecessor is not None and predecessor.is_running:
            return refusal(port, predecessor.pid)
        if (holder := port_holder(port, root)) is not None:
            return f"{address_text(host.strip('[]'), port)} is in use by {holder}; stop it or choose another --port"
        return str(error).removeprefix("wspulse: ")
    except StartError as error:
        return str(error).removeprefix("wspulse: ")
    return None


def _unix_socket_problem(path: Path) -> str | None:
    """What can be seen without making it."""
    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist; create it or choose another --unix-socket"
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return f"this user cannot create files in {path.parent}; choose another --unix-socket"
    if path.exists() and not path.is_socket():
        return f"{path} exists and is not a socket; remove it or choose another --unix-socket"
    return None
