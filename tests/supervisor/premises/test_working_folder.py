"""The working directory: which way leads to it, and what follows when that leads elsewhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from wspulse.supervisor.errors import StartError
from wspulse.supervisor.premises.working_folder import WorkingFolder


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two releases, a symlink `current` to the first, and this process in it."""
    tmp_path = tmp_path.resolve()
    for name in ("1", "2"):
        (tmp_path / name / "lib").mkdir(parents=True)
    (tmp_path / "current").symlink_to("1")
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def switch(releases: Path) -> None:
    (releases / "next").symlink_to("2")
    (releases / "next").replace(releases / "current")


def test_symlink_that_is_switched_is_followed_and_what_the_path_has_of_the_folder_too(
    releases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(releases / "1/.venv"))
    kept = [str(releases / "1/.venv/lib/site-packages"), str(releases / "10"), "/elsewhere"]
    sys.path[:] = [str(releases / "1"), str(releases / "1/lib"), *kept]
    folder = WorkingFolder({"PWD": str(releases / "current")})
    folder.enter()
    assert Path.cwd() == releases / "1"
    switch(releases)
    folder.enter()
    assert Path.cwd() == releases / "2"
    assert sys.path == [str(releases / "2"), str(releases / "2/lib"), *kept]


@pytest.mark.parametrize("named", [None, "", "current", ".", "/nonexistent", "/"])
def test_way_that_does_not_lead_there_is_not_taken(named: str | None, releases: Path) -> None:
    folder = WorkingFolder({} if named is None else {"PWD": named})
    switch(releases)
    os.chdir("/")
    folder.enter()
    assert Path.cwd() == releases / "1"


def test_folder_that_is_gone_is_an_error_that_names_it_until_it_is_there_again(releases: Path) -> None:
    folder = WorkingFolder({"PWD": str(releases / "current")})
    (releases / "current").unlink()
    with pytest.raises(OSError, match=f"the working directory {releases}/current cannot be entered: No such file"):
        folder.enter()
    (releases / "current").mkdir()
    folder.enter()
    assert Path.cwd() == releases / "current"


def test_start_in_a_folder_that_has_been_removed_is_refused(releases: Path) -> None:
    os.chdir(releases / "2")
    (releases / "2/lib").rmdir()
    (releases / "2").rmdir()
    with pytest.raises(StartError, match="the working directory has been removed; start the server in another one"):
        WorkingFolder()
