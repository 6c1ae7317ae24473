"""nginx and HAProxy in front of a server under test, with configurations of the documents. They end with their blocks."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.http.authority import Authority
from tests.support.processes.server_process import wait_until

__all__ = ["free_port", "haproxy", "needs_haproxy", "needs_nginx", "nginx", "with_tls"]

PLACES = "/usr/sbin:/usr/local/sbin"
NGINX = shutil.which("nginx") or shutil.which("nginx", path=PLACES)
HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path=PLACES)

needs_nginx = pytest.mark.skipif(NGINX is None, reason="no nginx here (Debian: apt-get install nginx-light)")
needs_haproxy = pytest.mark.skipif(HAPROXY is None, reason="no HAProxy here (Debian: apt-get install haproxy)")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def _proxy(command: Sequence[str], port: int, log: Path) -> Iterator[None]:
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stdout=errors, stderr=errors)
    try:

        def listens() -> bool:
            assert process.poll() is None, log.read_text()
            with socket.socket() as sock:
                return sock.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listens, 10, "the proxy listens")
        yield
    finally:
        process.terminate()
        process.wait(10)


def with_tls(folder: Path, authority: Authority, listens: str, port: int) -> dict[str, str]:
    """What is to change in a configuration of nginx that listens with TLS, so that it does so here."""
    certificate, key = authority.certificate(folder)
    return {
        f"listen {listens} ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/ssl/chat/fullchain.pem": str(certificate),
        "/etc/ssl/chat/privkey.pem": str(key),
    }


@contextmanager
def nginx(folder: Path, text: str, port: int) -> Iterator[None]:
    """With that configuration of a server, which listens on the port."""
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{ worker_connections 256; }}\nhttp {{\naccess_log off;\n{temporary}{text}\n}}\n"
    )
    log = folder / "error.log"
    with _proxy([str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(log)], port, log):
        yield


@contextmanager
def haproxy(folder: Path, authority: Authority, text: str) -> Iterator[int]:
    """With that configuration, which listens on :443; the port in its place."""
    port = free_port()
    certificate, key = authority.certificate(folder)
    (folder / "chat.pem").write_text(certificate.read_text() + key.read_text())
    for old, new in {"bind :443": f"bind 127.0.0.1:{port}", "/etc/ssl/chat/chat.pem": f"{folder}/chat.pem"}.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "haproxy.cfg").write_text(text)
    with _proxy([str(HAPROXY), "-db", "-f", str(folder / "haproxy.cfg")], port, folder / "haproxy.log"):
        yield port
