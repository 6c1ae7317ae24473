"""The pytest plugin in a pytest run of its own, as a user has it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

APP = """
from wspulse import Frame, Server

server = Server(lambda request: (request.query.get("room", "lobby"), request.query.get("id", "")))

@server.on_message
async def relay(connection, frame):
    await server.broadcast(connection.room_id, frame)
"""


def run_pytest(folder: Path, tests: str) -> str:
    (folder / "chat.py").write_text(APP)
    (folder / "test_chat.py").write_text(tests)
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return finished.stdout + finished.stderr


def test_server_fixture_runs_the_application_that_wspulse_app_returns(tmp_path: Path) -> None:
    output = run_pytest(
        tmp_path,
        """
import pytest
from chat import server
from wspulse import Frame

@pytest.fixture
def wspulse_app():
    return server

def test_relay(wspulse_server):
    alice, bob = wspulse_server.connect("alice"), wspulse_server.connect("bob")
    alice.send("chat", "hi")
    assert bob.expect("chat").payload == "hi"
    wspulse_server.run(server.broadcast("lobby", Frame("news")))
    bob.expect("news")

def test_again(wspulse_server):
    wspulse_server.connect("alice")
""",
    )
    assert "2 passed" in output, output


def test_server_fixture_takes_names_and_prepared_servers(tmp_path: Path) -> None:
    output = run_pytest(
        tmp_path,
        """
import pytest
from wspulse.testing import serve

@pytest.fixture(params=["chat:server", serve("chat:server", workers=2)], ids=["name", "prepared"])
def wspulse_app(request):
    return request.param

def test_relay(wspulse_server):
    alice, bob = wspulse_server.connect("alice"), wspulse_server.connect("bob")
    alice.send("chat", "hi")
    assert bob.expect("chat").payload == "hi"
""",
    )
    assert "2 passed" in output, output


def test_factory_fixture_starts_servers_that_end_with_the_test(tmp_path: Path) -> None:
    output = run_pytest(
        tmp_path,
        """
import pytest
from chat import server

running = []

def test_two(wspulse_serve):
    here, there = wspulse_serve(server), wspulse_serve("chat:server")
    for one in (here, there):
        client = one.connect()
        client.send("chat")
        client.expect("chat")
        running.append(client)

def test_ended():
    with pytest.raises(RuntimeError):
        running[0].send("chat")
""",
    )
    assert "2 passed" in output, output


def test_missing_application_is_explained_and_failures_are_short(tmp_path: Path) -> None:
    output = run_pytest(
        tmp_path,
        """
from chat import server

def test_no_application(wspulse_server):
    pass

def test_failing(wspulse_serve):
    client = wspulse_serve(server).connect()
    client.send("chat", "hi")
    client.expect("other", timeout=0.1)
""",
    )
    assert "wspulse_server needs a fixture named wspulse_app" in output
    assert "'other' did not arrive within 0.1 s; received instead: 'chat' 'hi'" in output
    assert "blocking.py" not in output
    assert "client.py" not in output


def test_plugin_loads_nothing_of_the_package_before_it_is_used(tmp_path: Path) -> None:
    output = run_pytest(tmp_path, "import sys\ndef test_lazy(): assert not [m for m in sys.modules if m == 'wspulse']")
    assert "1 passed" in output, output


def test_fixtures_are_listed_with_their_explanations(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "--fixtures", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    for name in ("wspulse_serve", "wspulse_app", "wspulse_server"):
        assert name in finished.stdout
        assert f"{name} -- no docstring" not in finished.stdout


@pytest.mark.parametrize("module", ["wspulse.testing"])
def test_testing_help_needs_no_pytest(module: str) -> None:
    code = f"import sys; sys.modules['pytest'] = None; import {module}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
