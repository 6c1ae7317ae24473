"""The contract's server, by the options that come as JSON in CONTRACT_OPTIONS, and its notes, in the file named CONTRACT_LOG."""

from __future__ import annotations

import json
import os
from typing import Any

from wspulse import Connection, Server

__all__ = ["note", "server"]

server = Server(**json.loads(os.environ.get("CONTRACT_OPTIONS", "{}")))
_log = os.open(os.environ["CONTRACT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def note(kind: str, connection: Connection, error: BaseException | None = None, detail: Any = None) -> None:
    """One line, one write: lines of several workers never mix."""
    entry = {
        "kind": kind,
        "id": connection.id,
        "session": connection.state["session"],
        "error": type(error).__name__ if error is not None else None,
        "detail": detail,
        "shard": server.shard,
    }
    os.write(_log, json.dumps(entry).encode() + b"\n")
