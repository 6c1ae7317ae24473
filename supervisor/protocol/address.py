"""Where a control client finds its server, and the keys that it shows there.

Without an endpoint it is the `WSPULSE_CONTROL` variable, else that of the server on the port, as its runtime directory tells:
the one under `$XDG_RUNTIME_DIR` if it is there, else the one under `/tmp`.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import zmq

from wspulse.actors.values.log_limit import shortened
from wspulse.supervisor.premises.lock import is_locked
from wspulse.supervisor.premises.record import folders_of, read_record
from wspulse.supervisor.protocol.curve import KeyPair, load_pair, load_public
from wspulse.supervisor.protocol.endpoint import DEFAULT_SOCKET_NAME, check_endpoint

__all__ = ["DEFAULT_PORT", "Address", "absence", "events_endpoint", "find_address"]

DEFAULT_PORT = 8000

MOST_PATH_BYTES = 107
"""What a Unix socket's address has room for."""


class Address(NamedTuple):
    """An endpoint, and the CURVE keys where it wants some."""

    endpoint: str
    server_key: bytes | None = None
    client_keys: KeyPair | None = None

    def prepare(self, client: zmq.Socket[bytes]) -> None:
        """Set what must be set before a client's socket is connected."""
        if "://[" in self.endpoint:
            client.setsockopt(zmq.IPV6, 1)
        if self.server_key is not None and self.client_keys is not None:
            client.setsockopt(zmq.CURVE_SERVERKEY, self.server_key)
            client.setsockopt(zmq.CURVE_PUBLICKEY, self.client_keys.public)
            client.setsockopt(zmq.CURVE_SECRETKEY, self.client_keys.secret)


def find_address(
    endpoint: str | None = None,
    *,
    port: int | None = None,
    server_key: str | Path | None = None,
    client_key: str | Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Address:
    """`server_key` and `client_key` are files (NAME.key of the server, NAME.key_secret of the client), given together.

    Raises ValueError.
    """
    if endpoint is not None and port is not None:
        raise ValueError("wspulse: give an endpoint or a port, not both")
    if (server_key is None) != (client_key is None):
        raise ValueError("wspulse: server_key and client_key go together")
    found = endpoint or (environ.get("WSPULSE_CONTROL") if port is None else None)
    found = _checked(found) if found else _default(port, environ)
    if server_key is None or client_key is None:
        return Address(found)
    return Address(found, load_public(Path(server_key)), load_pair(Path(client_key)))


def events_endpoint(told: str, endpoint: str) -> str:
    """The event socket as `ping` tells it, as seen from here: a server that listens on all addresses does not know which
    one leads to it."""
    for anywhere in ("tcp://0.0.0.0:", "tcp://[::]:", "tcp://*:"):
        if told.startswith(anywhere):
            return f"{endpoint.rpartition(':')[0]}:{told.removeprefix(anywhere)}"
    return told


def absence(endpoint: str) -> str:
    """Why nobody can be at an `ipc://` endpoint, from a look at its socket; "" where somebody is or may be."""
    if not endpoint.startswith("ipc://"):
        return ""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as looking:
        looking.setblocking(False)
        try:
            looking.connect(endpoint.removeprefix("ipc://"))
        except (FileNotFoundError, NotADirectoryError):
            return "the socket does not exist"
        except ConnectionRefusedError:
            return "nothing listens there any more"
        except OSError:
            pass  # it may be busy, or not ours to use
    return ""


def _checked(endpoint: str) -> str:
    """Raises ValueError."""
    try:
        check_endpoint(endpoint)
        if endpoint.endswith(":*") and endpoint.startswith("tcp://"):
            raise ValueError(f"{endpoint!r} has no port")
        if endpoint.startswith("ipc://") and len(os.fsencode(endpoint.removeprefix("ipc://"))) > MOST_PATH_BYTES:
            raise ValueError(
                f"{shortened(endpoint)!r} is too long for the path of a socket; allowed: {MOST_PATH_BYTES} bytes"
            )
    except ValueError as error:
        raise ValueError(f"wspulse: control endpoint: {error}") from None
    return endpoint


def _default(port: int | None, environ: Mapping[str, str]) -> str:
    if port is None and (text := environ.get("WSPULSE_PORT")):
        if not re.fullmatch("[0-9]{1,5}", text):
            raise ValueError(f"wspulse: WSPULSE_PORT: {shortened(text)!r} is not a port")
        port = int(text)
    port = DEFAULT_PORT if port is None else port
    if not 1 <= port <= 65535:
        raise ValueError(f"wspulse: {port} is not the port of a server; allowed: 1 … 65535")
    folders = [folder / str(port) for folder in folders_of(environ)]
    for folder in folders:
        if (folder / DEFAULT_SOCKET_NAME).exists():
            return f"ipc://{folder / DEFAULT_SOCKET_NAME}"
        if control := _told(folder):
            return control
    return f"ipc://{folders[0] / DEFAULT_SOCKET_NAME}"


def _told(folder: Path) -> str:
    """Where the control socket of the server is that runs there and has it elsewhere; "" for none."""
    record = read_record(folder)
    try:
        return "" if record is None or not is_locked(folder) else record.control
    except OSError:
        return ""
