"""The close codes that a peer sees, in one table (contract.md §3)."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CloseReason"]


class _Row(NamedTuple):
    code: int
    reason: str
    discards_queue: bool
    """Whether frames that still wait for the peer are discarded instead of being sent before the close frame."""


class CloseReason:
    """Every way in which the server ends a transport."""

    CLOSE = _Row(1000, "", False)
    KICK = _Row(1000, "kicked", True)
    DUPLICATE = _Row(1000, "duplicate connection id", True)
    REPLACED = _Row(1000, "replaced", True)
    SERVER_CLOSE = _Row(1001, "server shutting down", False)
    HANDLER_RAISED = _Row(1011, "internal error", True)
    KEEPALIVE_TIMEOUT = _Row(1011, "keepalive timeout", True)

    Row = _Row


EMPTY_CLOSE_CODE = 1005
"""RFC 6455 §7.1.5: what a close frame without a code stands for; never on the wire."""

NORMAL_CLOSE_CODES = frozenset({1000, 1001, EMPTY_CLOSE_CODE})
"""Codes with which a peer ends a session without an error."""
