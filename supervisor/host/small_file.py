"""`read_small_file`: a file that somebody named, and that may turn out to be anything: a device that never ends, say."""

from __future__ import annotations

import errno
from pathlib import Path

__all__ = ["read_small_file"]

MOST_BYTES = 1024 * 1024


def read_small_file(path: Path) -> bytes:
    """Raises OSError, with a text for whoever named it, also where there is more than 1 MiB."""
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise OSError(errno.EFBIG, "it is larger than 1 MiB")
    return data
