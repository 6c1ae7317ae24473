"""What doc/howto/deploy.md says in other languages than Python and shell: its settings are settings, its unit runs commands that
exist, and systemd takes it.

Its configurations of proxies are tested in `tests/process/test_proxies.py`.
"""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documents.blocks import blocks
from wspulse.supervisor.cli import SUBCOMMANDS, _parse
from wspulse.supervisor.settings.layers import Settings, resolve

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "doc" / "howto" / "deploy.md"
UNIT = ROOT / "examples" / "deploy" / "wspulse.service"
SOCKET = UNIT.with_suffix(".socket")

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (block,) = blocks(DOCUMENT, "toml")
    (tmp_path / "wspulse.toml").write_text(block.source)
    monkeypatch.chdir(tmp_path)
    return resolve({"config": "wspulse.toml"}, {})


def test_settings_of_the_document_are_settings(settings: Settings) -> None:
    assert (settings.app, settings.workers, settings.port) == ("chat:server", 4, 8000)
    assert settings.overrides == {"resume_window": 30.0, "allow_origin": ["https://chat.example.com"]}


def test_units_of_the_document_are_the_examples() -> None:
    assert [block.source for block in blocks(DOCUMENT, "ini")] == [UNIT.read_text(), SOCKET.read_text()]


def test_image_of_the_document_is_the_example() -> None:
    (block,) = blocks(DOCUMENT, "dockerfile")
    assert block.source == (UNIT.parent / "Dockerfile").read_text()


def test_unit_runs_commands_that_exist_and_waits_long_enough(settings: Settings) -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)  # SystemCallFilter stands twice
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNIT.read_text())
    service = unit["Service"]
    start, reload = (shlex.split(service[name]) for name in ("ExecStart", "ExecReload"))
    assert start[1] == "serve"
    assert _parse(start[2:]) == {"config": "wspulse.toml"}
    assert reload[1] in SUBCOMMANDS
    assert int(service["TimeoutStopSec"]) > settings.shutdown_timeout
    assert service["KillMode"] == "mixed"
    assert int(service["WatchdogSec"]) > settings.give_up_after


@needs_systemd
def test_systemd_has_nothing_against_the_units(tmp_path: Path) -> None:
    for unit in (UNIT, SOCKET):
        # Systemd looks for the program too, and there is none at its place here.
        text = unit.read_text().replace("/srv/chat/.venv/bin/wspulse", sys.executable)
        (tmp_path / unit.name).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / UNIT.name), str(tmp_path / SOCKET.name)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (finished.returncode, finished.stdout + finished.stderr) == (0, "")


@needs_systemd
def test_unit_is_as_little_exposed_as_the_document_says() -> None:
    command = ["systemd-analyze", "security", "--no-pager", "--offline=yes", "--threshold=20", str(UNIT)]  # tenths
    finished = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if "unrecognized option" in finished.stderr:
        pytest.skip("this systemd-analyze cannot rate a file (before 250)")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "rates it below 2 of 10" in " ".join(DOCUMENT.read_text().split())
