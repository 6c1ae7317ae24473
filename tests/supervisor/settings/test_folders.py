"""`--reload`: which folders it names, from each layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wspulse.supervisor.cli import _parse
from wspulse.supervisor.errors import SettingError
from wspulse.supervisor.settings.layers import resolve


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], None),
        (["--reload"], ["."]),
        (["--reload", "--port", "0"], ["."]),
        (["--reload", "src"], ["src"]),
        (["--reload=src", "--reload", "lib"], ["src", "lib"]),
        (["--reload", "--reload", "lib"], [".", "lib"]),
    ],
)
def test_flag_names_the_current_folder_or_those_behind_it(arguments: list[str], named: list[str] | None) -> None:
    flags = _parse(arguments)
    assert flags is not None
    assert resolve(flags, {}).reload == named


@pytest.mark.parametrize(("text", "named"), [("true", ["."]), ('["src", "lib"]', ["src", "lib"]), ("[]", [])])
def test_file_names_folders_or_says_that_it_is_the_current_one(tmp_path: Path, text: str, named: list[str]) -> None:
    (tmp_path / "server.toml").write_text(f"reload = {text}\n")
    assert resolve({"config": str(tmp_path / "server.toml")}, {}).reload == named


def test_variable_has_commas() -> None:
    assert resolve({}, {"WSPULSE_RELOAD": "src, lib"}).reload == ["src", "lib"]


@pytest.mark.parametrize("value", [["src", "src"], [""], ["a\0b"], False, 5])
def test_what_names_no_folders_is_refused(value: Any) -> None:
    with pytest.raises(SettingError, match=r"^wspulse: --reload: "):
        resolve({"reload": value}, {})
