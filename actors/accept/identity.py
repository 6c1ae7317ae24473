"""What `connect` may return, checked: who connects, and to which room."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["MAX_ID_BYTES", "checked_identity"]

MAX_ID_BYTES = 256
"""Of a room id and of a connection id, in UTF-8 (contract.md §2)."""


def checked_identity(answer: Any) -> tuple[str, str, dict[str, Any] | None]:
    """What `connect` returned, as (room id, connection id, state). Raises TypeError or ValueError for anything else."""
    if not isinstance(answer, tuple) or len(answer) not in (2, 3):
        raise TypeError(
            f"wspulse: connect returned {answer!r}; allowed is (room_id, connection_id) or (room_id, connection_id, state)"
        )
    for name, value in zip(("room id", "connection id"), answer, strict=False):
        if not isinstance(value, str):
            raise TypeError(f"wspulse: connect returned a {name} of type {type(value).__name__}; allowed is str")
        if len(value.encode()) > MAX_ID_BYTES:
            raise ValueError(f"wspulse: connect returned a {name} of over {MAX_ID_BYTES} bytes in UTF-8")
    state = answer[2] if len(answer) == 3 else None
    if state is not None:
        if not isinstance(state, dict):
            raise TypeError(f"wspulse: connect returned a state of type {type(state).__name__}; allowed is dict")
        # It may travel to another worker: what does not survive that is refused everywhere alike.
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=dict[str, Any])
    return answer[0], answer[1], state
