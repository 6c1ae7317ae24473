"""Which version of a package is installed, as its metadata says."""

from __future__ import annotations

import functools
from importlib.metadata import PackageNotFoundError, version

__all__ = ["installed_version"]


@functools.cache
def installed_version(package: str) -> str | None:
    """None where it is not installed, or only a copy of its source is there. Looked up once: that reads files, 400 µs."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
