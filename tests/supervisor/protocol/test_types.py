"""What the control clients return has room for all that a server tells."""

from __future__ import annotations

import re

from wspulse.actors.values.metrics import Metrics
from wspulse.supervisor.protocol.types import Totals

NOT_FOR_OPERATORS = {"handovers_in", "handovers_out", "bus_messages_in", "bus_messages_out"}
"""Counters of what a server does inside."""

FOR_METRICS = re.compile("ended_|resumes_|moves_|broadcasts$|bytes_")
"""Counters that `metrics` tells of."""

OF_THE_SUPERVISOR = {"connections", "rooms", "restarts", "queued", "links_down", "rss_bytes"}


def test_totals_are_what_shards_count_and_what_the_supervisor_knows_of_them() -> None:
    counters = {name for name in Metrics().counted() if not FOR_METRICS.match(name)}
    assert set(Totals.__struct_fields__) == (counters - NOT_FOR_OPERATORS) | OF_THE_SUPERVISOR
