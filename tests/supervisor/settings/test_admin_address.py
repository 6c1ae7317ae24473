"""Where the admin address may be, and what goes with it."""

from __future__ import annotations

import pytest

from wspulse.supervisor.errors import SettingError
from wspulse.supervisor.settings.admin_address import check_admin_address, split_admin
from wspulse.supervisor.settings.layers import resolve


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:9000", "127.0.0.1", 9000), ("[::1]:0", "::1", 0), ("ops.example:65535", "ops.example", 65535)],
)
def test_address_is_a_host_and_a_port(text: str, host: str, port: int) -> None:
    assert check_admin_address(text) == text
    assert split_admin(text) == (host, port)


@pytest.mark.parametrize("text", ["9000", ":9000", "127.0.0.1", "127.0.0.1:", "::1:9000", "a b:1", "h:65536", "h:1/x"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match=r"--admin: .* is not HOST:PORT, such as 127"):
        resolve({"admin": text}, {})


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.8.8.8:9000", "[::1]:9000", "localhost:9000"])
def test_address_of_this_machine_needs_no_token(address: str) -> None:
    assert resolve({"admin": address}, {}).admin == address


@pytest.mark.parametrize("address", ["0.0.0.0:9000", "[::]:9000", "10.0.0.1:9000", "ops.example:9000"])
def test_address_that_others_can_reach_needs_a_token(address: str) -> None:
    with pytest.raises(SettingError, match=r"--admin: .* can be reached from other machines, which requires --adm"):
        resolve({"admin": address}, {})
    assert resolve({"admin": address, "admin_token_file": "token"}, {}).admin_token_file == "token"


def test_token_without_an_address_is_refused() -> None:
    with pytest.raises(SettingError, match="--admin-token-file: has no effect without --admin"):
        resolve({"admin_token_file": "token"}, {})
