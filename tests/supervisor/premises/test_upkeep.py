"""What is looked after: files that go, come back, cannot be made again, and are somebody else's. Looks are made by hand."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from wspulse.supervisor.errors import StartError
from wspulse.supervisor.premises.upkeep import KeptFiles, Upkeep


class Part:
    """A part with two sockets and a lock. As the test says it makes again what is missing, says that it will, or fails."""

    def __init__(self, folder: Path) -> None:
        self.sockets = [str(folder / "one"), str(folder / "two")]
        self.lock = folder / "one.lock"
        self.open: dict[str, socket.socket] = {}
        self.restored: list[list[str]] = []
        self.error: Exception | None = None
        self.is_slow = False
        self.make([*self.sockets, str(self.lock)])
        self.kept = KeptFiles("part", self.sockets, self._restore, locks=[str(self.lock)])

    def make(self, paths: Sequence[str]) -> None:
        for path in paths:
            if path == str(self.lock):
                self.lock.touch()
                continue
            if path in self.open:
                self.open.pop(path).close()
            Path(path).unlink(missing_ok=True)
            self.open[path] = socket.socket(socket.AF_UNIX)
            self.open[path].bind(path)

    def _restore(self, missing: Sequence[str]) -> None:
        self.restored.append([Path(path).name for path in missing])
        if self.error is not None:
            raise self.error
        if not self.is_slow:
            self.make(missing)


class Stage:
    """The part, who looks after it, what was told of it, and a folder that is there or cannot be made again."""

    def __init__(self, folder: Path) -> None:
        self.part = Part(folder)
        self.told: list[tuple[str, bool]] = []
        self.folder_error: Exception | None = None
        self._folder = folder

    @cached_property
    def upkeep(self) -> Upkeep:
        """In the test's loop."""
        return Upkeep(self._folder, self._restore_folder, [self.part.kept], lambda *said: self.told.append(said))

    def look(self) -> None:
        self.upkeep.look()

    def _restore_folder(self) -> bool:
        if self.folder_error is not None:
            raise self.folder_error
        return False


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    for opened in made.part.open.values():
        opened.close()


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


REMOVED = ("WARNING", "files that the server needs were removed and are created again")
AMISS = ("ERROR", "files that the server needs were removed and cannot be created again; it keeps trying")


async def test_files_that_are_there_are_left_alone(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.look()
    stage.look()
    assert (stage.part.restored, stage.told, said(caplog)) == ([], [], [])


@pytest.mark.parametrize("name", ["one", "two", "one.lock"])
async def test_file_that_was_removed_is_made_again_at_once(
    name: str, stage: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        (tmp_path / name).unlink()
        stage.look()
        assert (tmp_path / name).exists()
        stage.look()
    assert (stage.part.restored, stage.told, said(caplog)) == ([[name], [name]], [], [REMOVED, REMOVED])


async def test_socket_of_somebody_else_and_what_is_no_socket_count_as_missing(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "one").unlink()
    (tmp_path / "two").unlink()
    (tmp_path / "one").touch()
    with socket.socket(socket.AF_UNIX) as foreign:
        foreign.bind(str(tmp_path / "two"))
        stage.look()
    assert stage.part.restored == [["one", "two"]]


async def test_what_cannot_be_made_again_is_told_once_and_when_it_can(
    stage: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    stage.part.error = StartError("no room")
    (tmp_path / "one").unlink()
    for _ in range(3):
        stage.look()
    assert stage.told == [("the part was removed", True)]
    assert said(caplog) == [AMISS]
    assert caplog.records[-1].__dict__["reason"] == "no room"
    stage.part.error = None
    stage.look()
    assert stage.told[1:] == [("the part was removed", False)]
    assert said(caplog)[1:] == [("INFO", "the files that the server needs are back")]
    assert stage.part.restored == [["one"]] * 4


async def test_part_that_fails_for_another_reason_than_its_files_is_asked_again_without_any(
    stage: Stage, tmp_path: Path
) -> None:
    stage.part.error = OSError("the worker reads nothing")
    (tmp_path / "one").unlink()
    stage.look()
    stage.part.make([str(tmp_path / "one")])
    stage.look()
    assert stage.told == [("the part was removed", True)]
    stage.part.error = None
    stage.look()
    assert stage.told[1:] == [("the part was removed", False)]
    assert stage.part.restored == [["one"], [], []]


async def test_part_that_takes_its_time_has_until_the_next_look(stage: Stage, tmp_path: Path) -> None:
    stage.part.is_slow = True
    (tmp_path / "one").unlink()
    stage.look()
    stage.part.make([str(tmp_path / "one")])
    stage.look()
    assert stage.told == []
    (tmp_path / "one").unlink()
    stage.look()
    assert stage.told == [], "it has been well meanwhile"
    stage.look()
    assert stage.told == [("the part was removed", True)]
    stage.part.is_slow = False
    stage.look()
    assert stage.told[1:] == [("the part was removed", False)]


async def test_files_that_are_made_and_removed_again_between_two_looks_are_no_failure(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wspulse.supervisor.premises.upkeep.SOON_S", 0.01)
    stage.part.is_slow = True
    (tmp_path / "one").unlink()
    stage.upkeep._tick()
    stage.part.make([str(tmp_path / "one")])
    await eventually(lambda: not stage.upkeep._asked, "it was seen that they are there again", 1.5)
    (tmp_path / "one").unlink()
    stage.look()
    assert stage.told == []
    stage.upkeep.close()


async def test_folder_that_cannot_be_made_again_is_told_and_keeps_no_part_from_being_looked_at(
    stage: Stage, tmp_path: Path
) -> None:
    stage.folder_error = OSError(28, "No space left on device")
    (tmp_path / "one").unlink()
    stage.look()
    assert stage.told == [("the runtime directory was removed", True)]
    assert stage.part.restored == [["one"]]
    stage.folder_error = None
    stage.look()
    assert stage.told[1:] == [("the runtime directory was removed", False)]


async def test_looks_go_on_also_behind_one_that_fails_and_end_with_the_upkeep(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wspulse.supervisor.premises.upkeep.LOOK_S", 0.01)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, _context: None)
    stage.part.error = RuntimeError("planted")
    (tmp_path / "one").unlink()
    stage.upkeep.open()
    await eventually(lambda: len(stage.part.restored) > 1, "it looks again", 5)
    stage.upkeep.close()
    assert stage.upkeep._timer is not None
    assert stage.upkeep._timer.cancelled()


async def test_files_are_touched_before_anybody_takes_them_for_old(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path, tmp_path.parent, *map(Path, stage.part.kept.paths)]
    old = time.time() - 6 * 3600
    for path in paths:
        os.utime(path, (old, old))
    stage.upkeep._tick()
    stage.upkeep.close()
    assert all(path.stat().st_mtime < old + 1 for path in paths)
    now = asyncio.get_running_loop().time()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now + 3601, raising=False)
    stage.upkeep._tick()
    stage.upkeep.close()
    assert all(path.stat().st_mtime > old + 3600 for path in paths)


async def test_file_of_another_kind_is_not_taken_for_what_was_made_again(stage: Stage, tmp_path: Path) -> None:
    stage.part.error = OSError("in the way")
    (tmp_path / "one").unlink()
    stage.look()
    (tmp_path / "one").touch()
    stage.look()
    stage.look()
    assert stage.part.restored == [["one"]] * 3
