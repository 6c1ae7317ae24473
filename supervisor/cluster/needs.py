"""`check_installed`: whether what the extra `cluster` brings is there. It imports none of it."""

from __future__ import annotations

from importlib.util import find_spec

from wspulse.supervisor.cluster.errors import ClusterError

__all__ = ["check_installed"]


def check_installed(*, has_credentials: bool) -> None:
    """Raises ClusterError."""
    for module, package, is_needed in (("nats", "nats-py", True), ("nkeys", "nkeys", has_credentials)):
        if is_needed and find_spec(module) is None:
            raise ClusterError(f"--cluster needs the package {package}; install it: pip install 'wspulse[cluster]'")
