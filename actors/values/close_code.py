"""The close codes that a peer sees, in one table (contract §3)."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["EMPTY_CLOSE_CODE", "NORMAL_CLOSE_CODES", "VIOLATIONS", "CloseReason", "CloseRow", "check_close"]

_SENDABLE = frozenset({1000, 1001, 1008, 1011, 1012, 1013, 1014})
"""Of the codes that RFC 6455 and its registry define, those that an application may mean; from 3000 to 4999 all are its own."""

_MOST_REASON_BYTES = 123
"""What a close frame holds beside its code."""


class CloseRow(NamedTuple):
    code: int
    reason: str
    discards_queue: bool
    """Whether frames that still wait for the peer are discarded instead of being sent before the close frame."""
    when: str
    advice: str
    """What the client does best. Behind "come back": with the same id, after a wait that grows."""


class CloseReason:
    """Every way in which the server ends a transport of its own accord."""

    CLOSE = CloseRow(1000, "", False, "the application closed the connection without giving a code", "stay away")
    KICK = CloseRow(1000, "kicked", True, "the application or an operator kicked it without giving a code", "stay away")
    DUPLICATE = CloseRow(
        1000,
        "duplicate connection id",
        True,
        "another connection with this id arrived",
        "stay away: the two would fight",
    )
    REPLACED = CloseRow(
        1000, "replaced", True, 'the same with `on_duplicate="resume"`: the other has the session now', "stay away"
    )
    SERVER_CLOSE = CloseRow(
        1001, "server shutting down", False, "the server ends, or replaces this worker", "come back"
    )
    RESTART = CloseRow(
        1012,
        "service restart",
        False,
        "its worker is replaced, and it cannot move to the new one; the reason is followed by `; retry=<ms>`",
        "come back after that many milliseconds",
    )
    HANDLER_RAISED = CloseRow(
        1011, "internal error", True, "a handler of the application raised", "come back; the same frame may raise again"
    )
    BAD_ACKNOWLEDGEMENT = CloseRow(
        1002,
        "bad acknowledgement",
        True,
        "the client of an exact session acknowledged something that is not a number, less than before, or more than was sent",
        "stay away; the client has a bug",
    )
    TOO_MANY_MESSAGES = CloseRow(
        1008,
        "too many messages",
        True,
        "it sent more than `max_frames_per_second` or `max_bytes_per_second` for 10 s",
        "stay away; or come back, and send less",
    )
    KEEPALIVE_TIMEOUT = CloseRow(
        1011, "keepalive timeout", True, "a ping was not answered within `pong_wait`", "come back"
    )


VIOLATIONS = (
    CloseRow(1002, "what was wrong", True, "the client broke RFC 6455", "stay away; the client has a bug"),
    CloseRow(
        1007,
        "what was wrong",
        True,
        "text that is not UTF-8, or a compressed message that cannot be decompressed",
        "stay away; the client has a bug",
    ),
    CloseRow(
        1009,
        "what was wrong",
        True,
        "a message over `max_message_size`",
        "stay away; or come back without that message",
    ),
)
"""How the parser of frames ends one; the reasons are its own."""


EMPTY_CLOSE_CODE = 1005
"""RFC 6455 §7.1.5: what a close frame without a code stands for; never on the wire."""

NORMAL_CLOSE_CODES = frozenset({1000, 1001, EMPTY_CLOSE_CODE})
"""Codes with which a peer ends a session without an error."""


def check_close(code: int, reason: str) -> None:
    """Raises TypeError and ValueError for what an application may not close a connection with (contract §3)."""
    if type(code) is not int:
        raise TypeError(f"wspulse: a close code must be an int, not {type(code).__name__}")
    if code not in _SENDABLE and not 3000 <= code <= 4999:
        raise ValueError(
            f"wspulse: close code {code} cannot be sent; allowed: 1000, 1001, 1008, 1011 to 1014, and 3000 to 4999"
        )
    if not isinstance(reason, str):
        raise TypeError(f"wspulse: a close reason must be a str, not {type(reason).__name__}")
    try:
        size_bytes = len(reason.encode())
    except UnicodeEncodeError:
        raise ValueError("wspulse: the close reason contains a lone surrogate, which UTF-8 cannot encode") from None
    if size_bytes > _MOST_REASON_BYTES:
        raise ValueError(
            f"wspulse: the close reason has {size_bytes} bytes in UTF-8; allowed: up to {_MOST_REASON_BYTES}"
        )
