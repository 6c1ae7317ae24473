"""Whether telemetry has counted what the model saw: sessions that began and that ended, by their reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from wspulse.actors.values.errors import (
    ConnectionLostError,
    DuplicateConnectionIDError,
    KeepaliveTimeoutError,
    PeerClosedError,
    ProtocolError,
    WriteTimeoutError,
)
from wspulse.actors.values.metrics import Metrics

if TYPE_CHECKING:
    from tests.support.simulation.model.model import Model

__all__ = ["check_counted", "reason_of"]

_ORDERED = {"kick": "kicked", "close": "closed", "shutdown": "server_closed", "drain": "server_closed"}

_LOST: tuple[tuple[type[BaseException], str], ...] = (
    (PeerClosedError, "peer_closed"),
    (ConnectionLostError, "connection_lost"),
    (KeepaliveTimeoutError, "keepalive_timeout"),
    (WriteTimeoutError, "write_timeout"),
    (ProtocolError, "protocol_error"),
)


def reason_of(ordered: tuple[str, object, object] | None, was_connected: bool, error: BaseException | None) -> str:
    """Of a session's end: by an order, of the application or of who drains the server; or since it has no transport."""
    if isinstance(error, DuplicateConnectionIDError):
        return "duplicate"
    if ordered is not None:
        return _ORDERED[ordered[0]]
    if not was_connected:
        return "expired"
    if error is None:
        return "peer_closed"
    return next((name for kind, name in _LOST if isinstance(error, kind)), "handler_raised")


def check_counted(model: Model, counted: Iterable[Metrics]) -> None:
    """When all sessions have ended, and nobody was killed: of all processes together."""
    totals = Counter[str]()
    for metrics in counted:
        totals.update(metrics.counted())
    ends = {name.removeprefix("ended_"): count for name, count in totals.items() if name.startswith("ended_") and count}
    if ends != model.ends:
        model.fail(f"sessions ended by {dict(model.ends)}, counted are {ends}")
    if (totals["bytes_in"], totals["bytes_out"]) != (model.bytes_in, model.bytes_out):
        read, written = model.bytes_in, model.bytes_out
        model.fail(f"{read} bytes came and {written} went, counted are {totals['bytes_in']} and {totals['bytes_out']}")
    begun = len(model._keys)
    came_back = sum(totals[f"resumes_{result}"] for result in ("resumed", "replaced", "taken_over"))
    if totals["upgrades"] - came_back != begun:
        model.fail(f"{begun} sessions began, of {totals['upgrades']} upgrades {came_back} count as coming back")
