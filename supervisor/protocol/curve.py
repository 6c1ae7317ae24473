"""CURVE keys and their files.

The files are those of ZeroMQ's own tools: `NAME.key` has a public key, `NAME.key_secret` both. `wspulse keygen` writes
them. The server has one pair; clients are known by their public keys.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

import zmq

from wspulse.supervisor.host.small_file import read_small_file

__all__ = ["KeyFileError", "KeyPair", "load_allowed", "load_pair", "load_public", "write_pair"]

PUBLIC_SUFFIX = ".key"
SECRET_SUFFIX = ".key_secret"

_ENTRY = re.compile(r'^\s*(public-key|secret-key)\s*=\s*"([^"\s]{40})"\s*$', re.MULTILINE)
_Z85 = re.compile(r"[0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_TEMPLATE = """#   CURVE {what} of wspulse

metadata
curve
    public-key = "{public}"
"""


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
        raise FileExistsError(f"{public_path} already exists")
    descriptor = os.open(secret_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as file:  # noqa: PTH123
        file.write(_TEMPLATE.format(what="key pair", public=public) + f'    secret-key = "{secret}"\n')
    public_path.write_text(_TEMPLATE.format(what="public key", public=public))
    return public_path, secret_path


def load_pair(path: Path) -> KeyPair:
    """Raises KeyFileError."""
    entries = dict(_ENTRY.findall(_read(path)))
    if "public-key" not in entries or "secret-key" not in entries:
        raise KeyFileError(f"{path} contains no key pair; give the file NAME.key_secret")
    return KeyPair(entries["public-key"].encode(), entries["secret-key"].encode())


def load_public(path: Path) -> bytes:
    """Raises KeyFileError."""
    keys = _public_keys(path)
    if len(keys) != 1:
        raise KeyFileError(f"{path} has {len(keys)} public keys; exactly one is needed")
    return keys[0]


def load_allowed(path: Path) -> frozenset[bytes]:
    """The public keys of a file (of ZeroMQ's form, or one key a line) or of all `*.key` files of a folder. Raises
    KeyFileError when there are none."""
    if path.is_dir():
        allowed = frozenset(key for file in sorted(path.glob(f"*{PUBLIC_SUFFIX}")) for key in _public_keys(file))
    else:
        allowed = frozenset(_public_keys(path))
    if not allowed:
        raise KeyFileError(f"{path} contains no public keys")
    return allowed


def _public_keys(path: Path) -> list[bytes]:
    text = _read(path)
    if named := [key.encode() for name, key in _ENTRY.findall(text) if name == "public-key"]:
        return named
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("# ")]
    for line in lines:
        if not _Z85.fullmatch(line):
            raise KeyFileError(f"{path}: {line!r} is not a key of 40 characters")
    return [line.encode() for line in lines]


def _read(path: Path) -> str:
    try:
        return read_small_file(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not text'}") from None
