"""What `wspulse new` makes of its templates, of names, and of a folder in which something is."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from wspulse.supervisor.cli import main
from wspulse.supervisor.errors import StartError, UsageError
from wspulse.supervisor.settings.layers import resolve
from wspulse.supervisor.starter.starter import ProjectName, write_project

DEPLOY = Path(__file__).parents[3] / "examples" / "deploy"


@pytest.mark.parametrize(
    ("folder", "project", "module"),
    [
        ("chat", "chat", "chat"),
        ("my-chat", "my-chat", "my_chat"),
        ("My Chat.2", "my-chat-2", "my_chat_2"),
        ("Café", "cafe", "cafe"),
        ("2nd", "app-2nd", "app_2nd"),
        ("class", "class-app", "class_app"),
        ("json", "json-app", "json_app"),
        ("wspulse", "wspulse-app", "wspulse_app"),
        ("tests", "tests-app", "tests_app"),
        ("聊天", "app", "app"),
        ("_", "app", "app"),
    ],
)
def test_name_of_a_folder_becomes_one_that_pip_and_python_take(folder: str, project: str, module: str) -> None:
    assert ProjectName.of(folder) == (project, module)
    assert module.isidentifier()


def test_project_is_all_of_its_name_and_its_code_is_clean(tmp_path: Path) -> None:
    folder = tmp_path / "Tea Room"
    files = write_project(folder)
    assert sorted(files) == sorted(path for path in folder.rglob("*") if path.is_file())
    assert {str(file.relative_to(folder)) for file in files} >= {"tea_room/page.html", "wspulse.toml", "Dockerfile"}
    for file in files:
        text = file.read_text()
        assert "my-chat" not in text
        assert "my_chat" not in text
    assert tomllib.loads((folder / "pyproject.toml").read_text())["project"]["name"] == "tea-room"
    assert resolve({"config": str(folder / "wspulse.toml")}, {}).app == "tea_room.server:server"
    ruff = [sys.executable, "-m", "ruff"]
    rules = "A,ASYNC,B,C4,E,F,I,N,PERF,PT,PTH,RET,RUF,SIM,UP,W"
    for command in (["check", "--select", rules], ["format", "--check"]):
        arguments = [*ruff, *command, "--isolated", "--no-cache", "--line-length", "120"]
        finished = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=30, check=False)
        assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.mark.parametrize("file", ["Dockerfile", "wspulse.service"])
def test_examples_of_deployment_are_those_of_a_project_named_chat(file: str, tmp_path: Path) -> None:
    write_project(tmp_path / "chat")
    assert (DEPLOY / file).read_text() == (tmp_path / "chat" / file).read_text()


def test_folder_that_is_empty_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tea").mkdir()
    monkeypatch.chdir(tmp_path / "tea")
    write_project(Path())
    assert (tmp_path / "tea" / "tea" / "server.py").is_file()


@pytest.mark.parametrize("kind", ["file", "folder with a hidden file"])
def test_what_is_there_stays_as_it_is(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "chat"
    kept = place if kind == "file" else place / ".kept"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("mine")
    with pytest.raises(UsageError, match="is not an empty folder"):
        write_project(place)
    assert kept.read_text() == "mine"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [kept]


def test_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="cannot be written: Not a directory"):
        write_project(tmp_path / "file" / "chat")


def test_command_tells_what_comes_next_and_refuses_a_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "my chat"]) == 0
    told = capsys.readouterr().out
    assert "my chat/my_chat/server.py" in told
    assert told.endswith(
        """next:
  cd 'my chat'
  pip install -e ".[test]"
  pytest
  wspulse serve --config wspulse.toml
"""
    )
    assert main(["new", "my chat"]) == 2
    assert "is not an empty folder" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["one", "two"], ["--wat", "one"]])
def test_wrong_arguments_end_with_2(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", *arguments]) == 2
    assert list(tmp_path.iterdir()) == []
