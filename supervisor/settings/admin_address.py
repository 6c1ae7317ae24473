"""Where the admin address is, as text: which forms there are, and which of them need a token. No I/O.

The table of settings refuses text that is not an address, and the layers an address that others could reach without a token;
`admin` listens there.
"""

from __future__ import annotations

import ipaddress
import re

from wspulse.supervisor.errors import SettingError

__all__ = ["check_admin", "check_admin_address", "is_loopback", "split_admin"]

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.%a-z]+\]|[^\[\]:/\s]+):([0-9]{1,5})")


def check_admin_address(text: str) -> str:
    """The setting's form. Raises ValueError."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[2]) > 65535:
        raise ValueError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:9000 or [::1]:9000")
    return text


def split_admin(text: str) -> tuple[str, int]:
    """Host, without brackets, and port."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether a host, as it stands in an address, can be reached from this machine only. A name but `localhost` may be
    anybody's."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_admin(address: str | None, token_file: str | None) -> None:
    """What goes together. Raises SettingError."""
    if address is None:
        if token_file is not None:
            raise SettingError("--admin-token-file", "has no effect without --admin")
    elif token_file is None and not is_loopback(split_admin(address)[0]):
        raise SettingError(
            "--admin",
            f"{address} can be reached from other machines, which requires --admin-token-file; or listen on 127.0.0.1",
        )
