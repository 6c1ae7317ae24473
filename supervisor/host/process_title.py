"""What `ps` and `top` show, where the optional package setproctitle is installed."""

from __future__ import annotations

__all__ = ["set_process_title"]


def set_process_title(role: str) -> bool:
    """Name this process `wspulse: <role>`; without setproctitle nothing happens. Returns whether it is done: else everybody can
    see the command line."""
    try:
        from setproctitle import setproctitle
    except ImportError:
        return False
    setproctitle(f"wspulse: {role}")
    return True
