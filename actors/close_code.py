"""The close codes that a peer sees, in one table (contract.md §3)."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["EMPTY_CLOSE_CODE", "NORMAL_CLOSE_CODES", "CloseReason", "CloseRow"]


class CloseRow(NamedTuple):
    code: int
    reason: str
    discards_queue: bool
    """Whether frames that still wait for the peer are discarded instead of being sent before the close frame."""


class CloseReason:
    """Every way in which the server ends a transport."""

    CLOSE = CloseRow(1000, "", False)
    KICK = CloseRow(1000, "kicked", True)
    DUPLICATE = CloseRow(1000, "duplicate connection id", True)
    REPLACED = CloseRow(1000, "replaced", True)
    SERVER_CLOSE = CloseRow(1001, "server shutting down", False)
    HANDLER_RAISED = CloseRow(1011, "internal error", True)
    KEEPALIVE_TIMEOUT = CloseRow(1011, "keepalive timeout", True)


EMPTY_CLOSE_CODE = 1005
"""RFC 6455 §7.1.5: what a close frame without a code stands for; never on the wire."""

NORMAL_CLOSE_CODES = frozenset({1000, 1001, EMPTY_CLOSE_CODE})
"""Codes with which a peer ends a session without an error."""
