"""The text of a control endpoint: which forms there are, and the name of the socket where no endpoint is given. No I/O.

The settings refuse what is none; `control.endpoint` makes addresses of it, `protocol.address` finds a server by it.
"""

from __future__ import annotations

import re

__all__ = ["DEFAULT_SOCKET_NAME", "check_endpoint", "split_tcp"]

DEFAULT_SOCKET_NAME = "control.sock"
"""In the runtime directory."""

_TCP = re.compile(r"tcp://(\[[0-9A-Fa-f:.%a-z]+\]|[^\[\]:/]+):(\*|[0-9]{1,5})")


def check_endpoint(text: str) -> str:
    """The setting's form. Raises ValueError."""
    if text.startswith("ipc://"):
        if text == "ipc://" or text.startswith("ipc://@"):
            raise ValueError(f"{text!r} does not name a file; give ipc://PATH")
        return text
    host_port = split_tcp(text)
    if host_port is None or (host_port[1] != "*" and int(host_port[1]) > 65534):
        raise ValueError(f"{text!r} is not an endpoint; give ipc://PATH or tcp://ADDRESS:PORT")
    return text


def split_tcp(text: str) -> tuple[str, str] | None:
    """Host and port of a `tcp://` endpoint, the host as it stands there."""
    match = _TCP.fullmatch(text)
    return (match[1], match[2]) if match else None
