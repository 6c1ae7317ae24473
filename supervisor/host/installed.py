"""Which version of a package is installed, and which of its extras, as its metadata says."""

from __future__ import annotations

import functools
import re
from importlib.metadata import PackageNotFoundError, requires, version

__all__ = ["installed_version", "missing_of_extras"]

_OF_EXTRA = re.compile(r"""([\w.-]+).*;.*\bextra == ["']([\w-]+)["']""")
_FOR_DEVELOPERS = frozenset({"test"})


@functools.cache
def installed_version(package: str) -> str | None:
    """None where it is not installed, or only a copy of its source is there. Looked up once: that reads files, 400 µs."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def missing_of_extras(package: str) -> dict[str, list[str]]:
    """By extra that users may install: the packages of it that are not there. Empty where only a copy of its source is."""
    try:
        wanted = requires(package) or []
    except PackageNotFoundError:
        return {}
    missing: dict[str, list[str]] = {}
    for match in filter(None, map(_OF_EXTRA.match, wanted)):
        if match[2] not in _FOR_DEVELOPERS:
            absent = missing.setdefault(match[2], [])
            if installed_version(match[1]) is None:
                absent.append(match[1])
    return missing
