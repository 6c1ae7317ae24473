"""`MailboxListeners`: the Unix listeners at which the workers are found, one for each seat, over all the workers that one crash
after another brings there.

Opened by the supervisor before the worker, which inherits its own, and closed when nobody will be there any more. A listener
without its file serves nobody who comes later, and a file cannot be given back to it: a new one takes its place, and the workers
at that seat get a copy.
"""

from __future__ import annotations

import contextlib
import socket
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from wspulse.supervisor.errors import StartError
from wspulse.supervisor.premises.listeners.listen_socket import open_mailbox_listener
from wspulse.supervisor.premises.upkeep import KeptFiles

__all__ = ["MailboxListeners"]


class MailboxListeners:
    """`move(seat, listener)` has the workers at a seat use a listener; False when one of them cannot be told now. What the server
    needs here is called `name` where it is amiss."""

    def __init__(self, name: str, move: Callable[[int, socket.socket], bool]) -> None:
        self.paths: dict[int, str] = {}
        """By seat, of those that are open."""
        self.listeners: dict[int, socket.socket] = {}
        """By seat: what its next worker inherits."""
        self.kept = KeptFiles(name, [], self.restore)
        self._move = move
        self._untold: set[int] = set()

    def open(self, seat: int, path: str) -> None:
        """Raises StartError."""
        self.listeners[seat] = _open(path)
        self.paths[seat] = path
        self.kept.add(path)

    def close_seat(self, seat: int) -> None:
        """Nobody is there any more; its file goes."""
        path = self.paths.pop(seat)
        self.kept.discard(path)
        self._untold.discard(seat)
        self.listeners.pop(seat).close()
        with contextlib.suppress(OSError):
            _remove_socket(Path(path))

    def close(self) -> None:
        """The files stay."""
        for listener in self.listeners.values():
            listener.close()

    def restore(self, missing: Sequence[str]) -> None:
        """Open those again whose files are missing, and tell their workers, and whoever could not be told before. Raises
        StartError or OSError, after all, when that fails for some."""
        problem: Exception | None = None
        for seat, path in self.paths.items():
            if path in missing:
                try:
                    _remove_socket(Path(path))
                    listener = _open(path)
                except (OSError, StartError) as error:
                    problem = error
                    continue
                self.listeners[seat].close()
                self.listeners[seat] = listener
                self._untold.add(seat)
        self._untold = {seat for seat in self._untold if not self._move(seat, self.listeners[seat])}
        if problem is not None:
            raise problem
        if self._untold:
            raise OSError(f"the worker at seat {min(self._untold)} does not read its messages")


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
