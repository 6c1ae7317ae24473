"""What does TLS cost? One message that is answered on each of 100 connections, the server saturated; a broadcast to 1,000, 20
times a second; and a connection that is made. By the server itself, and with nginx in front of it, over a Unix socket. (The
load generator speaks no TLS: HAProxy does for it, as a client. Its own work is not counted. Needs nginx and HAProxy:
scripts/proxies.)"""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from bench.bench_echo import echo
from bench.bench_paced_fanout import paced
from bench.support.native import ROOT
from bench.support.rounds import Case, arguments, load, measure_cases
from bench.support.subjects import Running, Subject
from tests.support.http.authority import Authority
from tests.support.processes.server_process import serve_process, wait_until

NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    server {{
        listen 127.0.0.1:{port} ssl backlog=4096;
        ssl_certificate {folder}/certificate.pem;
        ssl_certificate_key {folder}/key.pem;
        location / {{
            proxy_pass http://unix:{folder}/s;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_read_timeout 1h;
        }}
    }}
}}
"""

TUNNEL = """
global
    maxconn 8192
    tune.ssl.default-dh-param 2048
defaults
    mode tcp
    timeout connect 30s
    timeout client 1h
    timeout server 1h
listen tunnel
    bind 127.0.0.1:{port} backlog 4096
    server there 127.0.0.1:{to} {how}
"""

Started = Callable[[Path], AbstractContextManager[Running]]


def plain(app: str) -> Subject:
    @contextmanager
    def start(_folder: Path) -> Iterator[Running]:
        with serve_process("--app", app, workers=1, cwd=ROOT) as server:
            yield Running(server.port, tuple(sorted(server.pids())))

    return behind_tunnel(start, "")


def terminated(app: str) -> Subject:
    @contextmanager
    def start(folder: Path) -> Iterator[Running]:
        certificate, key = Authority().certificate(folder)
        files = ("--tls-cert", str(certificate), "--tls-key", str(key))
        with serve_process("--app", app, *files, workers=1, cwd=ROOT) as server:
            yield Running(server.port, tuple(sorted(server.pids())))

    return behind_tunnel(start, "ssl verify none no-ssl-reuse")


def behind_nginx(app: str) -> Subject:
    @contextmanager
    def start(folder: Path) -> Iterator[Running]:
        Authority().certificate(folder)
        port = free_port()
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
        command = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
        with (
            serve_process("--app", app, "--unix-socket", f"{folder}/s", workers=1, cwd=ROOT) as server,
            program(command, port) as pid,
        ):
            yield Running(port, (*sorted(server.pids()), pid))

    return behind_tunnel(start, "ssl verify none no-ssl-reuse")


def behind_tunnel(start: Started, how: str) -> Subject:
    @contextmanager
    def tunnelled() -> Iterator[Running]:
        with tempfile.TemporaryDirectory(prefix="wspulse-") as name, start(Path(name)) as running:
            port = free_port()
            configuration = Path(name) / "haproxy.cfg"
            configuration.write_text(TUNNEL.format(port=port, to=running.port, how=how))
            with program(["haproxy", "-db", "-f", str(configuration)], port):
                yield running._replace(port=port)

    return tunnelled


@contextmanager
def program(command: list[str], port: int) -> Iterator[int]:
    """Run until the end of the block; its pid, once it listens."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: listens(port), 10, f"{command[0]} listens")
        yield process.pid
    finally:
        process.terminate()
        process.wait(10)


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def upgrades(running: Running) -> dict[str, Any]:
    opening, _ = load(running, "connect", "--connections", 500, "--leave")
    return {"figure": opening["us_per_message"]}


def main() -> None:
    chosen = arguments(__doc__)
    for question, app, measure in (("echo", "echo", echo), ("fan-out", "relay", paced), ("connect", "echo", upgrades)):
        cases = [
            Case(f"{question}, without TLS", plain(app), measure),
            Case(f"{question}, TLS by wspulse", terminated(app), measure, f"{question}, without TLS"),
            Case(f"{question}, TLS by nginx in front", behind_nginx(app), measure, f"{question}, without TLS"),
        ]
        measure_cases(f"tls_{question.replace('-', '')}", __doc__ or "", "µs", cases, chosen)


if __name__ == "__main__":
    main()
