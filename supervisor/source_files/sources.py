"""Which of the files that change are the application's source: asked by `SourceWatch` for each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePath

__all__ = ["Sources"]

_IGNORED = frozenset({"__pycache__", "node_modules", "site-packages"})
"""Besides all whose names begin with a dot (.git, .venv, the caches of tools): nobody edits an application in these."""


class Sources:
    """`watched` are the folders, and single files, that were named; `is_environment(folder)` says whether packages were installed
    there. A file that was named counts whatever it is, of a folder the Python files, wherever they are in it."""

    def __init__(self, watched: Sequence[PurePath], is_environment: Callable[[PurePath], bool]) -> None:
        self._watched = watched
        self._is_environment = is_environment

    def have(self, path: PurePath) -> bool:
        """Whether a change of this file is one of the application."""
        return any(self._has(watched, path) for watched in self._watched)

    def _has(self, watched: PurePath, path: PurePath) -> bool:
        if path == watched:
            return True
        if path.suffix != ".py" or not path.is_relative_to(watched):
            return False
        inside = path.relative_to(watched).parts
        if any(part.startswith(".") or part in _IGNORED for part in inside):
            return False
        folders = path.parents[: len(inside) - 1]  # of those that were named, somebody wants to know
        return not any(self._is_environment(folder) for folder in folders)
