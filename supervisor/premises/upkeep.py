"""`Upkeep`: looks from time to time whether the files that a running server needs are still there, and has them made again.

One per server, started by the supervisor when all other parts are. Somebody else may remove them at any time: a cleaner of old
files, the end of a user's last login, a deployment. The parts that own the files make them again (`KeptFiles`); what could not be
made again is said once in the log, and to `failed`, until it can. Every look is a few calls of `lstat`. It ends nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from wspulse.supervisor.errors import StartError

__all__ = ["KeptFiles", "Upkeep"]

LOOK_S = 2.0
"""Nobody is cut off meanwhile, but whoever comes finds nothing."""

SOON_S = 0.2
"""A part that makes its files again by itself has most often done so by then: what is missing at the next look went anew."""

TOUCH_S = 3600.0
"""Cleaners take files for old after some hours (the XDG specification says six), or days."""

_Identity = tuple[int, int]
"""Device and inode. A bound socket's is not given to another file while it is open."""

_logger = logging.getLogger("wspulse.supervisor")


class KeptFiles:
    """The sockets of one part of the server, by their paths, which may come and go, and the locks that it holds.
    `restore(missing)` makes those again that are missing, or soon; it is called again while they are, and also without any when
    it raised an error (OSError or StartError)."""

    def __init__(
        self, name: str, sockets: Sequence[str], restore: Callable[[Sequence[str]], None], *, locks: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.restore = restore
        self._kinds = dict.fromkeys(sockets, stat.S_IFSOCK) | dict.fromkeys(locks, stat.S_IFREG)
        self._identities: dict[str, _Identity | None] = dict.fromkeys(self._kinds)
        """None: the next that is there is ours."""
        self.missing()

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(self._kinds)

    def add(self, path: str) -> None:
        """A socket that is bound there now."""
        self._kinds[path] = stat.S_IFSOCK
        self._identities[path] = None
        self._is_there(path)

    def discard(self, path: str) -> None:
        """It is needed no more."""
        self._kinds.pop(path, None)
        self._identities.pop(path, None)

    def missing(self) -> list[str]:
        """The paths where there is nothing, or something else."""
        return [path for path in self.paths if not self._is_there(path)]

    def _is_there(self, path: str) -> bool:
        try:
            status = os.lstat(path)
        except OSError:
            self._identities[path] = None
            return False
        identity = status.st_dev, status.st_ino
        if stat.S_IFMT(status.st_mode) != self._kinds[path] or self._identities[path] not in (None, identity):
            self._identities[path] = None
            return False
        self._identities[path] = identity
        return True


class Upkeep:
    """See the module. `kept` may grow. `restore_folder` makes the folder again and says whether it had to; `failed(reason,
    is_so)` is told of what cannot be made again, and when it can."""

    def __init__(
        self,
        folder: Path,
        restore_folder: Callable[[], bool],
        kept: Sequence[KeptFiles],
        failed: Callable[[str, bool], None],
    ) -> None:
        self._folder = folder
        self._restore_folder = restore_folder
        self._kept = kept
        self._failed = failed
        self._asked: set[str] = set()
        """Parts whose files were missing at the last look, and are since, and that said they would make them again."""
        self._failing: set[str] = set()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.TimerHandle | None = None
        self._touched_at = self._loop.time()

    def open(self) -> None:
        """Look from now on."""
        self._timer = self._loop.call_later(LOOK_S, self._tick)

    def close(self) -> None:
        for timer in (self._timer, self._soon):
            if timer is not None:
                timer.cancel()

    def _tick(self) -> None:
        self.open()
        self.look()
        if self._asked:
            self._soon = self._loop.call_later(SOON_S, self.see_what_was_made)
        now = self._loop.time()
        if now - self._touched_at >= TOUCH_S:
            self._touched_at = now
            self._touch()

    def look(self) -> None:
        """Look now: first for the folder, without which nothing can be made again."""
        try:
            if self._restore_folder():
                _logger.warning(
                    "the runtime directory, or the record in it, was removed and is created again",
                    extra={"path": str(self._folder)},
                )
            self._is_well("runtime directory")
        except (OSError, StartError) as error:
            self._is_amiss("runtime directory", error)
        for kept in self._kept:
            self._look_at(kept)

    def see_what_was_made(self) -> None:
        """Between two looks: whose files are there again may lose them anew, and has not failed to make them."""
        for kept in self._kept:
            if kept.name in self._asked and not kept.missing():
                self._asked.discard(kept.name)

    def _look_at(self, kept: KeptFiles) -> None:
        name = kept.name
        missing = kept.missing()
        if not missing and name not in self._failing:
            self._asked.discard(name)
            return
        is_new = missing and name not in self._asked and name not in self._failing
        try:
            kept.restore(missing)
        except (OSError, StartError) as error:
            self._is_amiss(name, error)
            return
        if is_new:
            _logger.warning(
                "files that the server needs were removed and are created again",
                extra={"part": name, "paths": ", ".join(missing)},
            )
        missing = kept.missing()
        if not missing:
            self._asked.discard(name)
            self._is_well(name)
        elif name in self._asked:
            self._is_amiss(name, None)
        else:
            self._asked.add(name)

    def _is_amiss(self, name: str, error: Exception | None) -> None:
        if name not in self._failing:
            self._failing.add(name)
            fields = {"part": name, "reason": str(error or "it is still missing").removeprefix("wspulse: ")}
            _logger.error(
                "files that the server needs were removed and cannot be created again; it keeps trying", extra=fields
            )
            self._failed(_reason(name), True)

    def _is_well(self, name: str) -> None:
        if name in self._failing:
            self._failing.discard(name)
            _logger.info("the files that the server needs are back", extra={"part": name})
            self._failed(_reason(name), False)

    def _touch(self) -> None:
        paths = [path for kept in self._kept for path in kept.paths]
        for path in (str(self._folder.parent), str(self._folder), *paths):
            with contextlib.suppress(OSError):
                os.utime(path)


def _reason(name: str) -> str:
    """What the health check tells: nothing of this machine."""
    return f"the {name} was removed"
