"""`MailboxListeners`: the Unix listeners at which the shards are found, one for each, over all the workers of a shard.

Opened by the supervisor before the first worker, which inherits its own. A listener without its file serves nobody who comes
later, and a file cannot be given back to it: a new one takes its place, and the shard's workers get a copy.
"""

from __future__ import annotations

import contextlib
import socket
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from wspulse.supervisor.errors import StartError
from wspulse.supervisor.premises.listen_socket import open_mailbox_listener

__all__ = ["MailboxListeners"]


class MailboxListeners:
    """`paths` has one for each shard. `move(shard, listener)` has a shard's workers use a listener; False when one of them
    cannot be told now."""

    def __init__(self, paths: Sequence[str], move: Callable[[int, socket.socket], bool]) -> None:
        self.paths = tuple(paths)
        self.listeners: list[socket.socket] = []
        """By shard: what its next worker inherits."""
        self._move = move
        self._untold: set[int] = set()

    def open(self) -> None:
        """Raises StartError; what was opened by then ends with `close`."""
        for path in self.paths:
            self.listeners.append(_open(path))

    def close(self) -> None:
        """The files stay."""
        for listener in self.listeners:
            listener.close()

    def restore(self, missing: Sequence[str]) -> None:
        """Open those again whose files are missing, and tell their workers, and whoever could not be told before. Raises
        StartError or OSError, after all, when that fails for some."""
        problem: Exception | None = None
        for shard, path in enumerate(self.paths):
            if path in missing:
                try:
                    _remove_socket(Path(path))
                    listener = _open(path)
                except (OSError, StartError) as error:
                    problem = error
                    continue
                self.listeners[shard].close()
                self.listeners[shard] = listener
                self._untold.add(shard)
        self._untold = {shard for shard in self._untold if not self._move(shard, self.listeners[shard])}
        if problem is not None:
            raise problem
        if self._untold:
            raise OSError(f"the worker of shard {min(self._untold)} reads nothing")


def _open(path: str) -> socket.socket:
    try:
        return open_mailbox_listener(path)
    except OSError as error:
        raise StartError(f"the mailbox {path} cannot be opened: {error.strerror}") from None


def _remove_socket(path: Path) -> None:
    """One of somebody else, in a folder that is ours."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
