"""What `ps` and `top` show, where the optional package setproctitle is installed."""

from __future__ import annotations

__all__ = ["set_process_title"]


def set_process_title(role: str) -> None:
    """Name this process `wspulse: <role>`; without setproctitle nothing happens."""
    try:
        from setproctitle import setproctitle
    except ImportError:
        return
    setproctitle(f"wspulse: {role}")
