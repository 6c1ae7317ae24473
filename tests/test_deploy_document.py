"""What doc/deploy.md says in other languages than Python and shell: its settings are settings, its unit runs commands that exist.

Its configurations of proxies are tested in `tests/process/test_proxies.py`.
"""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path

import pytest

from tests.support.documents.blocks import blocks
from wspulse.supervisor.cli import SUBCOMMANDS, _parse
from wspulse.supervisor.settings.layers import Settings, resolve

DOCUMENT = Path(__file__).parents[1] / "doc" / "deploy.md"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (block,) = blocks(DOCUMENT, "toml")
    (tmp_path / "wspulse.toml").write_text(block.source)
    monkeypatch.chdir(tmp_path)
    return resolve({"config": "wspulse.toml"}, {})


def test_settings_of_the_document_are_settings(settings: Settings) -> None:
    assert (settings.app, settings.workers, settings.port) == ("chat:server", 4, 8000)
    assert settings.overrides == {"resume_window": 30.0, "allow_origin": ["https://chat.example.com"]}


def test_unit_of_the_document_runs_commands_that_exist_and_waits_long_enough(settings: Settings) -> None:
    (block,) = blocks(DOCUMENT, "ini")
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(block.source)
    service = unit["Service"]
    start, reload = (shlex.split(service[name]) for name in ("ExecStart", "ExecReload"))
    assert start[1] == "serve"
    assert _parse(start[2:]) == {"config": "wspulse.toml"}
    assert reload[1] in SUBCOMMANDS
    assert int(service["TimeoutStopSec"]) > settings.shutdown_timeout
    assert service["KillMode"] == "mixed"
