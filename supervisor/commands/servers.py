"""`wspulse servers`: which servers of this user run on this machine; and what is said where a command finds none.

Both look into the runtime directories, where each server writes down where it is found. A server with CURVE keys is listed too;
what it counts is asked only of those that answer without.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wspulse.actors.values.errors import ControlError
from wspulse.supervisor.client.blocking import Control
from wspulse.supervisor.commands.table import duration_text, table_lines
from wspulse.supervisor.premises.record import RunningServer, running_servers
from wspulse.supervisor.protocol.types import ServerStats

__all__ = ["AbsentServerError", "server_rows", "servers_text"]

ASK_TIMEOUT_S = 1.0
"""Of each: a person waits for the list."""

NONE_TEXT = "none of your servers is running on this machine"


class AbsentServerError(ControlError):
    """Nobody is at an endpoint, and nobody can be. The first line says so, the others name the servers that run."""

    def __init__(self, endpoint: str, reason: str, servers: Sequence[RunningServer] | None = None) -> None:
        running = running_servers() if servers is None else servers
        others = "your servers on this machine:" if running else NONE_TEXT
        super().__init__(f"nothing runs here (looked at {endpoint}: {reason}); {others}")
        self.lines = [
            f"  {_option(server):{_width(running)}}  {_urls(server)}, pid {server.record.pid}" for server in running
        ]


def server_rows() -> list[dict[str, Any]]:
    """One for each server, for programs; `workers`, `connections` and `uptime_s` are None where it does not tell."""
    return [_row(server) for server in running_servers()]


def servers_text(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return NONE_TEXT
    cells = [
        (
            " ".join(row["urls"]) or None,
            row["pid"],
            row["workers"],
            row["connections"],
            None if row["uptime_s"] is None else duration_text(row["uptime_s"]),
            row["control"] or None,
        )
        for row in rows
    ]
    return "\n".join(table_lines(("URL", "PID", "WORKERS", "CONNECTIONS", "UP", "CONTROL"), cells))


def _row(server: RunningServer) -> dict[str, Any]:
    stats = _stats(server.record.control)
    return {
        "urls": list(server.record.urls),
        "port": server.port,
        "pid": server.record.pid,
        "control": server.record.control,
        "workers": None if stats is None else len(stats.workers),
        "connections": None if stats is None else stats.totals.connections,
        "uptime_s": None if stats is None else stats.uptime_s,
    }


def _stats(control: str) -> ServerStats | None:
    if not control:
        return None  # it has only begun to start
    try:
        with Control(control, timeout=ASK_TIMEOUT_S) as client:
            return client.stats()
    except ControlError:
        return None


def _option(server: RunningServer) -> str:
    """What a command is given so that it finds this server."""
    return f"--control {server.record.control}" if server.port is None else f"--port {server.port}"


def _width(servers: Sequence[RunningServer]) -> int:
    return max(len(_option(server)) for server in servers)


def _urls(server: RunningServer) -> str:
    return " ".join(server.record.urls) or "starting"
