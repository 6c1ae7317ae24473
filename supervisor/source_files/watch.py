"""`SourceWatch`: tells when files of the application have changed, until it is stopped.

Made by the supervisor, with the folders that `--reload` names. It watches with `watchfiles`, which is an extra of its own and has
the kernel tell of changes in a thread; what follows from one is the supervisor's to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path, PurePath
from typing import Any, Protocol

from wspulse.supervisor.errors import SettingError, StartError
from wspulse.supervisor.source_files.sources import Sources

__all__ = ["QUIET_S", "SourceWatch", "Watcher", "load_watcher"]

QUIET_S = 0.05
"""Editors write a file in several steps, a checkout writes many: it is one change when nothing has followed for so long."""

MOST_GATHERED_S = 1.6
"""However long it goes on."""

AGAIN_S = 1.0
"""When it is tried again after the system has refused to watch."""

STOPPED_S = 2.0
"""The watcher's thread looks that often, and more, whether it is to end."""

_logger = logging.getLogger("wspulse.supervisor")


class Watcher(Protocol):
    """As `watchfiles.awatch`."""

    def __call__(
        self,
        *paths: Path,
        watch_filter: Callable[[Any, str], bool],
        debounce: int,
        step: int,
        stop_event: asyncio.Event,
    ) -> AsyncIterator[set[tuple[Any, str]]]: ...


def load_watcher() -> Watcher:
    """Raises StartError where the extra is not installed."""
    try:
        from watchfiles import awatch
    except ImportError:
        raise StartError("--reload needs the package watchfiles; install it: pip install 'wspulse[reload]'") from None
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it counts at info what we name
    return awatch


class SourceWatch:
    """`named` are folders and files; `changed()` is called in the supervisor's loop after each change."""

    def __init__(
        self, named: Sequence[str], changed: Callable[[], None], load: Callable[[], Watcher] = load_watcher
    ) -> None:
        self._named = named
        self._changed = changed
        self._load = load
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, where anything is named; before workers are started, since it says how these import. Raises StartError where
        nothing can watch, SettingError for a folder that there is not."""
        if not self._named:
            return
        watched = []
        for name in self._named:
            path = Path(name).resolve()
            if not path.exists():
                raise SettingError("--reload", f"there is no {name!r} to watch")
            watched.append(path)
        watcher = self._load()
        # What was compiled counts as that of a source of the same second and size, as when one character is changed twice.
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        _logger.info("watching source files", extra={"folders": ", ".join(map(str, watched))})
        self._task = asyncio.create_task(self._run(watcher, watched), name="source files")

    async def stop(self) -> None:
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=STOPPED_S)
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self, watcher: Watcher, watched: Sequence[Path]) -> None:
        while not self._stopping.is_set():
            try:
                await self._watch(watcher, watched)
            except Exception as error:  # of a library, and what the system says: files, limits
                _logger.error("source files cannot be watched; trying again", extra={"error": str(error)})
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(AGAIN_S):
                        await self._stopping.wait()

    async def _watch(self, watcher: Watcher, watched: Sequence[Path]) -> None:
        sources = Sources(watched, _is_environment)
        changes = watcher(
            *watched,
            watch_filter=lambda _change, path: sources.have(PurePath(path)),
            debounce=round(MOST_GATHERED_S * 1000),
            step=round(QUIET_S * 1000),
            stop_event=self._stopping,
        )
        async for found in changes:
            files = sorted({path for _, path in found})
            more = f" and {len(files) - 3} more" if len(files) > 3 else ""
            _logger.info("source files have changed", extra={"files": ", ".join(files[:3]) + more})
            self._changed()


def _is_environment(folder: PurePath) -> bool:
    return Path(folder, "pyvenv.cfg").exists()
