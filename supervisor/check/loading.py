"""What a process does that looks at an application for `check`: it loads it, describes it, and ends.

Started with multiprocessing's spawn, as workers are, so that it finds the same modules. What the application has begun by being
imported (threads, children) ends with this process or is its own; `on_start` is not run.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from wspulse.actors.values.options.server_options import DEFAULTS, OPTION_KINDS
from wspulse.actors.values.options.texts import option_text
from wspulse.supervisor.worker.application import BootError, load_application

__all__ = ["Loaded", "Refused", "load"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What is worth saying of an application."""

    file: str
    """Where its module is; empty for one that ships with wspulse."""
    options: dict[str, str]
    """Those that are not the defaults, in their order, as text."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why it cannot be loaded; as in `BootError`."""

    text: str
    is_usage: bool


def load(pipe: Connection, app: str, overrides: dict[str, Any]) -> None:
    """Sends Loaded or Refused, and ends the process whatever else runs in it."""
    os.dup2(2, 1)  # what it prints is not ours to say
    try:
        pipe.send(_loaded(app, overrides))
    except BootError as error:
        pipe.send(Refused(error.text, error.is_usage))
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        pipe.close()
        os._exit(0)


def _loaded(app: str, overrides: dict[str, Any]) -> Loaded:
    server = load_application(app, overrides)
    module = sys.modules.get(app.partition(":")[0]) if ":" in app else None
    changed = {}
    for name in OPTION_KINDS:
        value, default = getattr(server.options, name), getattr(DEFAULTS, name)
        # Of codecs there are many objects, and each of a class does the same.
        if value != default and not (name == "codec" and type(value) is type(default)):
            changed[name] = option_text(name, value)
    return Loaded(getattr(module, "__file__", None) or "", changed)
