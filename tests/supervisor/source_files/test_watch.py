"""What is told of changes of files: with a watcher that is the test, and with the real one."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.eventually import eventually
from wspulse.supervisor.errors import SettingError, StartError
from wspulse.supervisor.source_files import watch
from wspulse.supervisor.source_files.watch import SourceWatch, load_watcher


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was again at the end."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "")


class FakeWatcher:
    """In the place of `watchfiles.awatch`: the test says what changes."""

    def __init__(self) -> None:
        self.changes: asyncio.Queue[set[tuple[Any, str]] | Exception] = asyncio.Queue()
        self.paths: list[tuple[Path, ...]] = []
        self.counts: Callable[[Any, str], bool]

    def load(self) -> Any:
        return self

    async def __call__(self, *paths: Path, **options: Any) -> AsyncIterator[set[tuple[Any, str]]]:
        self.paths.append(paths)
        self.counts = options["watch_filter"]
        stopping = asyncio.ensure_future(options["stop_event"].wait())
        while True:
            found = asyncio.ensure_future(self.changes.get())
            await asyncio.wait({stopping, found}, return_when=asyncio.FIRST_COMPLETED)
            if not found.done():
                found.cancel()
                return
            change = found.result()
            if isinstance(change, Exception):
                stopping.cancel()
                raise change
            yield change


class Stage:
    def __init__(self, *named: str) -> None:
        self.told = 0
        self.watcher = FakeWatcher()
        self.watch = SourceWatch(named, self._changed, self.watcher.load)

    def _changed(self) -> None:
        self.told += 1


async def test_each_change_is_told_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    stage = Stage(str(tmp_path))
    stage.watch.start()
    for files in (["a.py"], ["e.py", "d.py", "c.py", "b.py"]):
        stage.watcher.changes.put_nowait({(1, file) for file in files})
    await eventually(lambda: stage.told == 2, "both are told")
    await stage.watch.stop()
    assert stage.watcher.paths == [(tmp_path,)]
    assert os.environ["PYTHONDONTWRITEBYTECODE"] == "1"
    logged = [record.__dict__["files"] for record in caplog.records if record.msg == "source files have changed"]
    assert logged == ["a.py", "b.py, c.py, d.py and 1 more"]


async def test_environment_in_a_watched_folder_is_no_source(tmp_path: Path) -> None:
    stage = Stage(str(tmp_path))
    stage.watch.start()
    await eventually(lambda: stage.watcher.paths, "it watches")
    (tmp_path / "env" / "lib").mkdir(parents=True)
    (tmp_path / "env" / "pyvenv.cfg").touch()
    (tmp_path / "lib").mkdir()
    for folder, counts in (("lib", True), ("env", False), ("env/lib", False)):
        assert stage.watcher.counts(1, str(tmp_path / folder / "web.py")) is counts
    await stage.watch.stop()


async def test_watcher_that_fails_is_told_of_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "AGAIN_S", 0.0)
    stage = Stage(str(tmp_path))
    stage.watch.start()
    stage.watcher.changes.put_nowait(OSError("no space left on device"))
    stage.watcher.changes.put_nowait({(1, "a.py")})
    await eventually(lambda: stage.told == 1, "it goes on")
    await stage.watch.stop()
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.__dict__["error"] == "no space left on device"


async def test_watch_that_waits_to_try_again_stops_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "AGAIN_S", 100.0)
    stage = Stage(str(tmp_path))
    stage.watch.start()
    stage.watcher.changes.put_nowait(OSError("no space left on device"))
    await eventually(stage.watcher.changes.empty, "it has failed")
    async with asyncio.timeout(1):
        await stage.watch.stop()


async def test_nothing_is_loaded_where_nothing_is_to_be_watched() -> None:
    stage = Stage()
    stage.watch.start()
    await stage.watch.stop()
    assert stage.watcher.paths == []
    assert os.environ["PYTHONDONTWRITEBYTECODE"] == ""


async def test_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    stage = Stage(str(tmp_path), str(tmp_path / "gone"))
    with pytest.raises(SettingError, match=r"^wspulse: --reload: there is no '.*gone' to watch$"):
        stage.watch.start()
    await stage.watch.stop()


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(StartError, match=r"^wspulse: --reload needs .* pip install 'wspulse\[reload\]'$"):
        load_watcher()


async def test_file_that_is_written_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    told: list[None] = []
    watching = SourceWatch([str(tmp_path)], lambda: told.append(None))
    watching.start()
    await asyncio.sleep(0)  # from its first step on the kernel takes notes
    (tmp_path / "notes.txt").write_text("no source")
    (tmp_path / "chat.py").write_text("pass")
    await eventually(lambda: told, "the change is told")
    async with asyncio.timeout(5):
        await watching.stop()
    logged = {record.__dict__["files"] for record in caplog.records if record.msg == "source files have changed"}
    assert logged == {str(tmp_path / "chat.py")}
