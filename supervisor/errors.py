"""Why a server does not start: errors that a person at the command line can act on, in one line.

StartError            the port, the runtime directory, the limits: exit code 1
└── UsageError        the command line is wrong: exit code 2
    └── SettingError  namely a flag, a variable or a key of the file
"""

from __future__ import annotations

from typing import ClassVar

__all__ = ["SettingError", "StartError", "UsageError"]


class StartError(Exception):
    """The server cannot start. Built from what is wrong and what to do; the text begins with "wspulse: "."""

    exit_code: ClassVar[int] = 1

    def __str__(self) -> str:
        return f"wspulse: {super().__str__()}"


class UsageError(StartError):
    """The command line is wrong."""

    exit_code = 2


class SettingError(UsageError):
    """A setting is wrong. `source` names where it came from: "--port", "WSPULSE_PORT" or "server.toml: port"."""

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(f"{source}: {problem}")
        self.source = source
        self.problem = problem
