"""The memory of `Counts`: mapped from the file that all workers of a server have, or of this process alone; and whose it is.

Called by a runtime as it is made.
"""

from __future__ import annotations

import os
from functools import partial
from mmap import PROT_READ, PROT_WRITE, mmap

from wspulse.actors.limits.counts import Counts, words_for
from wspulse.actors.limits.places import Places
from wspulse.actors.values.metrics import Metrics
from wspulse.actors.values.options.server_options import ServerOptions

__all__ = ["counts_alone", "counts_shared", "places_for"]


def places_for(options: ServerOptions, metrics: Metrics, seat: int, file: int | None) -> Places | None:
    """None if there is no limit. `file` is that of all workers, a descriptor; None for a server that is one process."""
    if not options.max_connections and not options.max_connections_per_address:
        return None
    return Places(
        counts_alone() if file is None else counts_shared(file, seat),
        metrics,
        max_connections=options.max_connections,
        max_connections_per_address=options.max_connections_per_address,
    )


def counts_shared(file: int, seat: int) -> Counts:
    """Those of a worker among others. `file` stays the caller's, and open for as long as they are used."""
    return Counts(_mapped(file), seat, partial(_mapped, file))


def counts_alone() -> Counts:
    """Those of a server that is one process."""
    words = memoryview(mmap(-1, 8 * words_for(1))).cast("Q")
    words[0] = 1
    return Counts(words, 0)


def _mapped(file: int) -> memoryview:
    """All of it. It stays mapped as long as somebody has this."""
    return memoryview(mmap(file, os.fstat(file).st_size, prot=PROT_READ | PROT_WRITE)).cast("Q")
