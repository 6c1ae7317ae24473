"""Where a cluster's NATS servers are, and what a cluster is called, as text. No I/O."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

__all__ = ["check_cluster_name", "check_host_id", "check_nats_url", "shown_nats_url"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def shown_nats_url(text: str) -> str:
    """An address, or what was meant as one, without its user and password, for people to read."""
    scheme = re.match(r"[a-z]+://", text)
    start = scheme[0] if scheme else ""
    _, at, rest = text.removeprefix(start).rpartition("@")
    if not at and not rest.startswith("["):  # what stands behind a colon may be half a password
        rest = re.sub(r":(?!\d*$).*", ":…", rest, count=1, flags=re.DOTALL)
    return start + rest


def check_nats_url(text: str) -> str:
    """The form of an address. Raises ValueError, which shows no password."""
    if not _is_address(text):
        shown = shown_nats_url(text)
        reason = f"{shown!r} is not the address of a NATS server, such as nats://10.0.0.5:4222"
        if shown != text and _is_address(shown):
            reason = (
                f"the user and password before {shown!r} cannot be read: write / as %2F in them, # as %23, and ? as %3F"
            )
        raise ValueError(reason)
    return text


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        is_server = parts.scheme in ("nats", "tls") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return is_server and not (parts.path or parts.query or parts.fragment)


def check_cluster_name(text: str) -> str:
    """The form of a name. Raises ValueError."""
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} is not a name for a cluster; allowed: letters, digits, - and _, up to 64")
    return text


def check_host_id(text: str) -> str:
    """The form of a host's name. Raises ValueError."""
    if not text.isprintable() or not 0 < len(text.encode()) <= 200:
        raise ValueError(f"{text[:100]!r} is not a name for a host; allowed: up to 200 bytes of printable text")
    return text
