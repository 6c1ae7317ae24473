"""`Handlers`: the application's callbacks, as the sessions of a shard call them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Handlers"]


@dataclass(slots=True)
class Handlers:
    """The application's callbacks."""

    on_connect: Callable[..., Any] | None = None
    on_message: Callable[..., Any] | None = None
    on_disconnect: Callable[..., Any] | None = None
    on_transport_drop: Callable[..., Any] | None = None
    on_transport_restore: Callable[..., Any] | None = None
    on_transfer_out: Callable[..., Any] | None = None
    on_transfer_in: Callable[..., Any] | None = None
