"""`child_spec`: what all workers of a server are told, from its settings.

Called once by the supervisor, before it starts them.
"""

from __future__ import annotations

from wspulse.supervisor.settings.layers import Settings
from wspulse.supervisor.worker.child_spec import ChildSpec

__all__ = ["child_spec"]


def child_spec(settings: Settings, *, alive_period_s: float, desk_path: str) -> ChildSpec:
    """See `ChildSpec`."""
    return ChildSpec(
        app=settings.app,
        overrides=settings.overrides,
        path=settings.path,
        alive_period_s=alive_period_s,
        drain_s=settings.shutdown_timeout,
        log_level=settings.log_level,
        log_format=settings.log_format,
        trusted_proxies=tuple(settings.trusted_proxy or ()),
        reads_proxy_headers=settings.proxy_headers,
        measures=settings.admin is not None,
        desk_path=desk_path,
    )
