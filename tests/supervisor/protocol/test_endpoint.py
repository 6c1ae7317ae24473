"""The text of an endpoint."""

from __future__ import annotations

import pytest

from wspulse.supervisor.protocol.endpoint import check_endpoint


@pytest.mark.parametrize(
    "text", ["", "x", "ipc://", "ipc://@abstract", "tcp://", "tcp://h", "tcp://h:x", "tcp://h:99999"]
)
def test_wrong_endpoints_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"endpoint|file"):
        check_endpoint(text)


@pytest.mark.parametrize("text", ["ipc:///a/b", "ipc://b", "tcp://127.0.0.1:0", "tcp://[::1]:5555", "tcp://0.0.0.0:*"])
def test_right_endpoints_are_taken(text: str) -> None:
    assert check_endpoint(text) == text
