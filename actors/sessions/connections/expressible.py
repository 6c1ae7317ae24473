"""`expressible`: what of an application's state can travel to another process, and `altered`: what is not the same there."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["altered", "expressible"]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_BINARY = (bytes, bytearray, memoryview)
"""Would be copied for nothing."""


def expressible(state: dict[str, Any]) -> dict[str, Any]:
    """Those entries of which msgpack can express key and value."""
    if not state or _can_travel(state):
        return state
    return {key: value for key, value in state.items() if _can_travel({key: value})}


def _can_travel(entries: dict[str, Any]) -> bool:
    try:
        _encode(entries)
        # The encoder passes a Raw, as a payload is, through as it stands: what is JSON would break all that is around it.
        msgspec.to_builtins(entries, builtin_types=_BINARY)
    except Exception:  # what an application's objects raise
        return False
    return True


def altered(state: dict[str, Any]) -> list[str]:
    """The keys of those entries, all expressible, that are others where they arrive: what was a tuple is a list there."""
    arrived = _decode(_encode(state))
    return [str(key) for key, value in state.items() if not _is_same(value, arrived.get(key))]


def _is_same(value: Any, arrived: Any) -> bool:
    try:
        return bool(value == arrived)
    except Exception:  # what an application's objects raise
        return False
