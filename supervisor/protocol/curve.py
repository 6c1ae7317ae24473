"""CURVE keys: their files, and who of the clients is let in.

The files are those of ZeroMQ's own tools: `NAME.key` has a public key, `NAME.key_secret` both. `wspulse keygen` writes
them. The server has one pair; clients are known by their public keys.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import NamedTuple

import zmq
from zmq.utils import z85

__all__ = ["ClientGate", "KeyFileError", "KeyPair", "load_allowed", "load_pair", "load_public", "write_pair"]

PUBLIC_SUFFIX = ".key"
SECRET_SUFFIX = ".key_secret"

_ENTRY = re.compile(r'^\s*(public-key|secret-key)\s*=\s*"([^"\s]{40})"\s*$', re.MULTILINE)
_Z85 = re.compile(r"[0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_TEMPLATE = """#   CURVE {what} of wspulse

metadata
curve
    public-key = "{public}"
"""

ZAP_ENDPOINT = "inproc://zeromq.zap.01"
DOMAIN = b"wspulse"


class KeyFileError(ValueError):
    """A key file cannot be used. The text begins with its name."""


class KeyPair(NamedTuple):
    public: bytes
    secret: bytes


def write_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a pair, write its two files and return their paths. Raises FileExistsError, other OSErrors."""
    public, secret = (key.decode() for key in zmq.curve_keypair())
    public_path, secret_path = folder / f"{name}{PUBLIC_SUFFIX}", folder / f"{name}{SECRET_SUFFIX}"
    if public_path.exists():
        raise FileExistsError(f"{public_path} exists already")
    descriptor = os.open(secret_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as file:  # noqa: PTH123
        file.write(_TEMPLATE.format(what="key pair", public=public) + f'    secret-key = "{secret}"\n')
    public_path.write_text(_TEMPLATE.format(what="public key", public=public))
    return public_path, secret_path


def load_pair(path: Path) -> KeyPair:
    """Raises KeyFileError."""
    entries = dict(_ENTRY.findall(_read(path)))
    if "public-key" not in entries or "secret-key" not in entries:
        raise KeyFileError(f"{path} has no key pair; give the file NAME.key_secret")
    return KeyPair(entries["public-key"].encode(), entries["secret-key"].encode())


def load_public(path: Path) -> bytes:
    """Raises KeyFileError."""
    keys = _public_keys(path)
    if len(keys) != 1:
        raise KeyFileError(f"{path} has {len(keys)} public keys; one is wanted")
    return keys[0]


def load_allowed(path: Path) -> frozenset[bytes]:
    """The public keys of a file (of ZeroMQ's form, or one key a line) or of all `*.key` files of a folder. Raises
    KeyFileError when there are none."""
    if path.is_dir():
        allowed = frozenset(key for file in sorted(path.glob(f"*{PUBLIC_SUFFIX}")) for key in _public_keys(file))
    else:
        allowed = frozenset(_public_keys(path))
    if not allowed:
        raise KeyFileError(f"{path} has no public keys")
    return allowed


def _public_keys(path: Path) -> list[bytes]:
    text = _read(path)
    if named := [key.encode() for name, key in _ENTRY.findall(text) if name == "public-key"]:
        return named
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("# ")]
    for line in lines:
        if not _Z85.fullmatch(line):
            raise KeyFileError(f"{path}: {line!r} is no key of 40 letters")
    return [line.encode() for line in lines]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}") from None


class ClientGate:
    """Answers ZeroMQ's question whether a client with a public key may come in (ZAP, RFC 27), for one context."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], pair: KeyPair, allowed: frozenset[bytes]) -> None:
        self._pair = pair
        self._allowed = frozenset(_binary(key) for key in allowed)
        self._loop = asyncio.get_running_loop()
        self._socket = context.socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(ZAP_ENDPOINT)
        self._loop.add_reader(self._socket.fileno(), self._answer)

    def guard(self, socket: zmq.Socket[bytes]) -> None:
        """Let only known clients in; to be called before the socket is bound."""
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self._pair.public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._pair.secret)
        socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)

    def close(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _answer(self) -> None:
        while True:
            try:
                parts = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            request_id = parts[1] if len(parts) > 1 else b""
            known = len(parts) == 7 and parts[2] == DOMAIN and parts[5] == b"CURVE" and parts[6] in self._allowed
            status, text = (b"200", b"OK") if known else (b"400", b"unknown client")
            self._socket.send_multipart([b"1.0", request_id, status, text, b"", b""])


def _binary(key: bytes) -> bytes:
    decoded: bytes = z85.decode(key)
    return decoded
