"""The nginx and the HAProxy of doc/howto/proxies.md, in front of a real server with two workers; and the nginx of
doc/howto/monitor.md, in front of its admin address."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from collections.abc import Mapping
from http.client import HTTPSConnection
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.documents.blocks import blocks
from tests.support.http.authority import Authority
from tests.support.processes.proxies import free_port, haproxy, needs_haproxy, needs_nginx, nginx, with_tls
from tests.support.processes.server_process import serve_process

ROOT = Path(__file__).parents[2]
IDLE_S = 1

APPLICATION = """
from wspulse import Connection, Frame, Request, Server

server = Server(lambda request: ("room", request.query.get("id", "")), max_message_size=65536)


@server.on_connect
async def tell(connection: Connection) -> None:
    request = connection.request
    await connection.send(Frame("you", [*request.remote_address, request.scheme, request.headers["Host"]]))


@server.on_message
async def relay(connection: Connection, frame: Frame) -> None:
    await server.broadcast(connection.room_id, frame)
"""


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def configuration(language: str, changes: Mapping[str, str], page: str = "proxies.md") -> str:
    """The document's, with some of its lines changed."""
    (block,) = blocks(ROOT / "doc" / "howto" / page, language)
    text = block.source
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


def dial(port: int, name: str, context: ssl.SSLContext, forwarded: str | None = None) -> connect:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded, "X-Forwarded-Proto": "http"}
    return connect(
        f"wss://localhost:{port}/ws?id={name}",
        ssl=context,
        host="127.0.0.1",
        additional_headers=headers,
        ping_interval=None,
        compression=None,
    )


async def greeting(client: ClientConnection) -> list[object]:
    told: list[object] = json.loads(await asyncio.wait_for(client.recv(), 5))["payload"]
    return told


async def served(port: int, authority: Authority, source_port_is_known: bool) -> None:
    """Clients behind the proxy are known as who they are, stay while they are idle, and reach each other over both workers."""
    context = authority.client_context()
    async with dial(port, "a", context, "6.6.6.6") as first, dial(port, "b", context) as second:
        for client in (first, second):
            host, source_port, scheme, name = await greeting(client)
            assert (host, scheme) == ("127.0.0.1", "wss"), "the client's own word is not believed"
            assert name in ("localhost", f"localhost:{port}")
            assert source_port == (client.local_address[1] if source_port_is_known else 0)
        # Idle for longer than the proxy waits: the server's pings keep the connection.
        started = time.monotonic()
        await asyncio.sleep(2.5 * IDLE_S)
        text = "x" * 60_000
        await first.send(json.dumps({"event": "said", "payload": text}))
        assert json.loads(await second.recv()) == {"event": "said", "payload": text}
        assert time.monotonic() - started > 2 * IDLE_S
    for path, status, body in (("/healthz", b"200", b"ok"), ("/nowhere", b"404", b"not found")):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 5)
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert answer.rstrip().endswith(body)
        writer.close()


def arguments(folder: Path, flag: str) -> tuple[str, ...]:
    (folder / "behind.py").write_text(APPLICATION)
    return ("--app", "behind:server", "--ping-period", "0.3", "--pong-wait", "5", "--unix-socket", f"{folder}/s", flag)


@needs_nginx
async def test_server_behind_the_documents_nginx(tmp_path: Path, authority: Authority) -> None:
    port = free_port()
    changes = {
        "/run/chat/wspulse.sock": f"{tmp_path}/s",
        "proxy_read_timeout 60s;": f"proxy_read_timeout {IDLE_S}s;",
        **with_tls(tmp_path, authority, "443", port),
    }
    with (
        serve_process(*arguments(tmp_path, "--proxy-headers"), workers=2, cwd=tmp_path) as server,
        nginx(tmp_path, configuration("nginx", changes), port),
    ):
        assert server.url == f"unix:{tmp_path}/s:/ws"
        await served(port, authority, source_port_is_known=False)


@needs_nginx
async def test_server_behind_the_documents_nginx_without_tls(tmp_path: Path) -> None:
    port = free_port()
    changes = {
        "listen 443 ssl;": f"listen 127.0.0.1:{port};",  # 80 in the document, which only root may open
        "    ssl_certificate     /etc/ssl/chat/fullchain.pem;\n": "",
        "    ssl_certificate_key /etc/ssl/chat/privkey.pem;\n": "",
        "/run/chat/wspulse.sock": f"{tmp_path}/s",
    }
    with (
        serve_process(*arguments(tmp_path, "--proxy-headers"), workers=2, cwd=tmp_path),
        nginx(tmp_path, configuration("nginx", changes), port),
    ):
        async with connect(f"ws://127.0.0.1:{port}/ws?id=a") as client:
            assert await greeting(client) == ["127.0.0.1", 0, "ws", "127.0.0.1"]


@needs_nginx
def test_admin_address_behind_the_documents_nginx(tmp_path: Path, authority: Authority) -> None:
    token = "a-token-of-over-16-characters"
    (tmp_path / "token").write_text(token)
    with serve_process("--admin", "127.0.0.1:0", "--admin-token-file", str(tmp_path / "token")) as server:
        opened = re.search(r"the admin address is open \(url=http://(127\.0\.0\.1:\d+)/\)", server.stderr())
        assert opened is not None
        port = free_port()
        changes = {"127.0.0.1:9000": opened[1], **with_tls(tmp_path, authority, "9443", port)}
        with nginx(tmp_path, configuration("nginx", changes, "monitor.md"), port):

            def ask(path: str, **headers: str) -> tuple[int, str]:
                connection = HTTPSConnection("localhost", port, timeout=5, context=authority.client_context())
                connection.request("GET", path, headers={"Host": "chat.example.com", **headers})
                answer = connection.getresponse()
                body = answer.read().decode()
                connection.close()
                return answer.status, body

            assert ask("/live") == (200, "ok\n")
            assert json.loads(ask("/api/access")[1]) == {"reads": False, "changes": False, "has_token": True}
            assert ask("/api/connections")[0] == 401
            assert ask("/api/connections", Authorization=f"Bearer {token}")[0] == 200


@needs_haproxy
async def test_server_behind_the_documents_haproxy(tmp_path: Path, authority: Authority) -> None:
    changes = {
        "unix@/run/chat/wspulse.sock": f"unix@{tmp_path}/s",
        "timeout tunnel 1h": f"timeout tunnel {IDLE_S}s",
    }
    with (
        serve_process(*arguments(tmp_path, "--proxy-protocol"), workers=2, cwd=tmp_path),
        haproxy(tmp_path, authority, configuration("haproxy", changes)) as port,
    ):
        await served(port, authority, source_port_is_known=True)
