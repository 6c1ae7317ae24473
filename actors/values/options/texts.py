"""Options as text, for people: `option_text`; and those of which clients notice, `seen_by_clients`."""

from __future__ import annotations

from typing import Any

from wspulse.actors.values.options.kinds import Checked
from wspulse.actors.values.options.server_options import OPTION_KINDS, ServerOptions

__all__ = ["option_text", "seen_by_clients"]

_SEEN_BY_CLIENTS = (
    "resume_window",
    "suspend_on_clean_close",
    "on_duplicate",
    "subprotocols",
    "max_message_size",
    "send_buffer_size",
    "send_buffer_bytes",
    "max_rooms_per_connection",
    "codec",
)


def option_text(name: str, value: Any) -> str:
    """The value of an option."""
    kind = OPTION_KINDS[name]
    if not isinstance(kind, Checked):
        return kind.default_text(value)
    if isinstance(value, tuple):
        return ", ".join(value)
    named = getattr(value, "__qualname__", None) or getattr(value, "name", None)
    return str(named) if isinstance(named, str) else type(value).__qualname__


def seen_by_clients(options: ServerOptions) -> dict[str, str]:
    """What two servers that are to look like one should have in common."""
    return {name: option_text(name, getattr(options, name)) for name in _SEEN_BY_CLIENTS}
