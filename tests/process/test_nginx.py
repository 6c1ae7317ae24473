"""The nginx of doc/deploy.md, in front of a real server with two workers."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from tests.support.documents.blocks import blocks
from tests.support.processes.server_process import serve_process, wait_until
from tests.support.wire.raw_peer import RawPeer

ROOT = Path(__file__).parents[2]

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")

READ_TIMEOUT_S = 1

APPLICATION = """
from wspulse import Connection, Frame, Request, Server

server = Server(lambda request: ("room", request.query.get("id", "")), max_message_size=65536)


@server.on_connect
async def tell(connection: Connection) -> None:
    headers = connection.request.headers
    await connection.send(Frame("you", [headers.get("X-Forwarded-For"), headers.get("Host"), server.shard]))


@server.on_message
async def relay(connection: Connection, frame: Frame) -> None:
    await server.broadcast(connection.room_id, frame)
"""

pytestmark = pytest.mark.skipif(NGINX is None, reason="no nginx here (Debian: apt-get install nginx-light)")


@contextmanager
def nginx(folder: Path, server_port: int) -> Iterator[int]:
    """Run nginx with the document's configuration, only its ports and its patience changed; yields its port."""
    (block,) = blocks(ROOT / "doc" / "deploy.md", "nginx")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    text = block.source
    for old, new in {
        "listen 80;": f"listen 127.0.0.1:{port};",
        "http://127.0.0.1:8000;": f"http://127.0.0.1:{server_port};",
        "proxy_read_timeout 60s;": f"proxy_read_timeout {READ_TIMEOUT_S}s;",
    }.items():
        assert old in text
        text = text.replace(old, new)
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{ worker_connections 256; }}\nhttp {{\naccess_log off;\n{temporary}{text}\n}}\n"
    )
    command = [str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:

        def listens() -> bool:
            assert process.poll() is None, (folder / "error.log").read_text()
            with socket.socket() as sock:
                return sock.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listens, 10, "nginx listens")
        yield port
    finally:
        process.terminate()
        process.wait(10)


async def test_server_behind_the_documents_nginx(tmp_path: Path) -> None:
    (tmp_path / "behind.py").write_text(APPLICATION)
    arguments = ("--app", "behind:server", "--ping-period", "0.3", "--pong-wait", "5")
    with serve_process(*arguments, workers=2, cwd=tmp_path) as server, nginx(tmp_path, server.port) as port:
        url = f"ws://127.0.0.1:{port}/ws"
        forged = {"X-Forwarded-For": "6.6.6.6"}
        async with (
            connect(f"{url}?id=a", additional_headers=forged, ping_interval=None, compression=None) as first,
            connect(f"{url}?id=b", ping_interval=None, compression=None) as second,
        ):
            for socket_ in (first, second):
                address, host, _ = json.loads(await socket_.recv())["payload"]
                assert (address, host) == ("127.0.0.1", "127.0.0.1"), "the client's own word is not believed"
            # Idle for longer than nginx waits: the server's pings keep the connection.
            started = time.monotonic()
            await asyncio.sleep(2.5 * READ_TIMEOUT_S)
            text = "x" * 60_000
            await first.send(json.dumps({"event": "said", "payload": text}))
            assert json.loads(await second.recv()) == {"event": "said", "payload": text}
            assert time.monotonic() - started > 2 * READ_TIMEOUT_S

        async with await RawPeer.dial(port) as peer:
            peer.writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = await peer.rest()
            assert re.match(rb"HTTP/1\.1 200 ", answer)
            assert answer.endswith(b"ok")
        async with await RawPeer.dial(port) as peer:
            peer.writer.write(b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert re.match(rb"HTTP/1\.1 404 ", await peer.rest())
