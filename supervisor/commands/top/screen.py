"""`run_top`: draws what a `Screen` shows, once per period, and listens to the keyboard.

Run by `commands.control` in the terminal's own process. While the server is away it says so and waits for it. `q` ends it. Where
the output is no terminal, it prints one table and ends. A narrow or low terminal shows what matters most, and says what it leaves
out.
"""

from __future__ import annotations

import io
import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Protocol

from rich.console import Console, RenderableType
from rich.live import Live

from wspulse.actors.values.errors import ControlError
from wspulse.supervisor.client.blocking import Control
from wspulse.supervisor.commands.terminal import print_text
from wspulse.supervisor.commands.top.columns import MUCH
from wspulse.supervisor.commands.top.hosts import HostsScreen
from wspulse.supervisor.commands.top.workers import WorkersScreen

__all__ = ["Screen", "run_top"]

ASK_TIMEOUT_S = 3.0
"""`stats` itself waits 2 s for workers that hesitate."""


class Screen(Protocol):
    """What is shown, from the last two looks."""

    def look(self, control: Control) -> None:
        """Ask the server. Raises ControlError."""

    def away(self, problem: str) -> None:
        """It did not answer."""

    def render(self, width: int, height: int, *, keys: bool = True) -> RenderableType: ...


def run_top(control: Control, period_s: float, *, hosts: bool = False) -> None:
    """Until `q` or ^C; without a terminal for one period. Raises ControlError when there is no server at the start, and
    OutputError."""
    control.timeout = min(control.timeout, ASK_TIMEOUT_S)
    screen: Screen = HostsScreen() if hosts else WorkersScreen()
    screen.look(control)
    if sys.stdout is None or not sys.stdout.isatty():
        sleep(period_s)  # rates are those between two looks
        screen.look(control)
        print_text(_plain(screen))
        return
    console = Console()
    with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(screen.render(console.width, console.height), refresh=True)
            due = monotonic() + period_s
            size = console.size
            while (left_s := due - monotonic()) > 0:
                if pressed(min(left_s, 0.1)) in ("q", "Q"):
                    return
                if console.size != size:
                    break  # the terminal was resized
            else:
                try:
                    screen.look(control)
                except ControlError as error:
                    screen.away(str(error))


def _plain(screen: Screen) -> str:
    """All of it, without colours."""
    console = Console(file=io.StringIO(), width=MUCH, color_system=None)
    with console.capture() as captured:
        console.print(screen.render(MUCH, MUCH, keys=False))
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Yields `pressed(timeout_s)`, which returns the key that was pressed, or an empty text."""
    fd = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else -1
    before = termios.tcgetattr(fd) if fd >= 0 else None

    def pressed(timeout_s: float) -> str:
        if fd < 0:
            select.select([], [], [], timeout_s)
            return ""
        readable, _, _ = select.select([fd], [], [], timeout_s)
        return os.read(fd, 16).decode("utf-8", "replace")[:1] if readable else ""

    if before is not None:
        tty.setcbreak(fd)
    try:
        yield pressed
    finally:
        if before is not None:
            termios.tcsetattr(fd, termios.TCSADRAIN, before)
