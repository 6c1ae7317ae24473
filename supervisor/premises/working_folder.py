"""`WorkingFolder`: where the server was started, found anew before each start of a worker.

One per server, made by `Workers`. Deployments put each release into a folder of its own and switch a symlink; the old folder
goes away in time. A process whose working directory that is stays in it, and what it starts would run the old code, or not
start at all. So the way that led there is gone again. It never guesses: a folder that is gone is an error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from wspulse.supervisor.errors import StartError

__all__ = ["WorkingFolder"]


class WorkingFolder:
    """`path` is the way to it: `$PWD`, as shells and service managers have it, where that leads to the working directory of
    this process, else the directory itself."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        """Raises StartError where there is none any more."""
        try:
            self._entered = str(Path.cwd())
        except FileNotFoundError:
            raise StartError("the working directory has been removed; start the server in another one") from None
        named = environ.get("PWD", "")
        self.path = named if Path(named).is_absolute() and _is_working_folder(named) else self._entered

    def enter(self) -> None:
        """Be in the folder that the path leads to now, this process and those that it starts; what `sys.path` has of the
        former one follows. Raises OSError, saying which folder is gone."""
        try:
            os.chdir(self.path)
            entered = str(Path.cwd())
        except OSError as error:
            raise OSError(f"the working directory {self.path} cannot be entered: {error.strerror}") from None
        if entered != self._entered:
            sys.path[:] = [_moved(entry, self._entered, entered) for entry in sys.path]
            self._entered = entered


def _is_working_folder(path: str) -> bool:
    try:
        return Path(path).samefile(os.curdir)
    except OSError:
        return False


def _moved(entry: str, former: str, folder: str) -> str:
    """An entry in the former folder becomes the same one in the folder; but the packages of the interpreter that runs us stay,
    which would not fit another one."""
    if entry == former:
        return folder
    if entry.startswith(f"{former}{os.sep}") and not entry.startswith(f"{sys.prefix}{os.sep}"):
        return folder + entry.removeprefix(former)
    return entry
