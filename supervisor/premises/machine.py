"""What `wspulse doctor` reads of the machine: limits of the process, of its control group and of the kernel.

Facts only; what they mean is decided in `doctor`. A fact that this system does not tell is None.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wspulse.supervisor.errors import StartError
from wspulse.supervisor.host.cores import usable_cores
from wspulse.supervisor.host.installed import installed_version
from wspulse.supervisor.host.kernel_facts import fact_number, fact_numbers, fact_text, group_folders
from wspulse.supervisor.premises.listeners.listen_socket import open_listener
from wspulse.supervisor.premises.runtime_dir import RuntimeDir

__all__ = ["Machine", "read_machine"]

_PROBED_PORT = 65536
"""No server has it: its runtime directory can be made and removed while servers run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The facts. Sizes in bytes; a limit that is none is None too."""

    python: tuple[int, int, int]
    uvloop: str | None
    setproctitle: str | None
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


def read_machine(host: str, port: int, root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> Machine:
    """Read everything; `root` is where /proc and /sys are."""
    soft, hard = (
        None if limit == resource.RLIM_INFINITY else limit for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    tcp = fact_numbers(root / "proc/sys/net/ipv4/tcp_mem")
    ports = fact_numbers(root / "proc/sys/net/ipv4/ip_local_port_range")
    files = fact_numbers(root / "proc/sys/fs/file-nr")
    return Machine(
        python=sys.version_info[:3],
        uvloop=installed_version("uvloop"),
        setproctitle=installed_version("setproctitle"),
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
        port_problem=_port_problem(host, port),
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


def _port_problem(host: str, port: int) -> str | None:
    try:
        open_listener(host, port).close()
    except StartError as error:
        return str(error).removeprefix("wspulse: ")
    return None
