"""The names that other programs rely on: they are there, and the documents speak of each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import wspulse
import wspulse.client
import wspulse.fastapi
from wspulse import exports

ROOT = Path(__file__).parents[1]

PUBLISHED = (
    "Server",
    "Connection",
    "Frame",
    "Request",
    "ConnectRejected",
    "EventRouter",
    "Context",
    "Codec",
    "JSONCodec",
    "MsgpackCodec",
    "Control",
    "AsyncControl",
    "WspulseError",
    "ConnectionNotFoundError",
    "ConnectionClosedError",
    "SendBufferFullError",
    "DuplicateConnectionIDError",
    "ServerClosedError",
    "ShardUnavailableError",
    "ControlError",
)


def test_published_names_are_exported() -> None:
    assert set(PUBLISHED) <= set(wspulse.__all__)
    for name in wspulse.__all__:
        assert getattr(wspulse, name).__doc__, f"{name} has no docstring"


def test_names_are_those_that_are_loaded_with_the_first_of_them() -> None:
    assert wspulse.__all__ == exports.__all__
    assert set(wspulse.__all__) <= set(dir(wspulse))
    with pytest.raises(AttributeError, match=r"^module 'wspulse' has no attribute 'Sever'$"):
        wspulse.Sever  # type: ignore[attr-defined]  # noqa: B018


def test_names_of_the_client_are_documented_in_it_and_shared_with_the_server() -> None:
    for name in wspulse.client.__all__:
        found = getattr(wspulse.client, name)
        assert found.__doc__, f"{name} has no docstring"
        assert getattr(wspulse, name, found) is found


def test_client_is_imported_without_the_server() -> None:
    program = (
        "import sys, wspulse.client; "
        "print(*sorted(name for name in sys.modules if name.startswith(('wspulse', 'zmq', 'uvloop'))), sep='\\n')"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(finished.stdout.split())
    parts = {".".join(name.split(".")[:3]) for name in loaded}
    assert parts == {"wspulse", "wspulse.client", "wspulse.actors", "wspulse.actors.client", "wspulse.actors.values"}


def test_published_errors_have_one_root_and_say_who_speaks() -> None:
    errors = [getattr(wspulse, name) for name in PUBLISHED if name.endswith("Error")]
    assert all(issubclass(error, wspulse.WspulseError) for error in errors)
    for error in (wspulse.ConnectionNotFoundError("alice"), wspulse.ShardUnavailableError("it is down")):
        assert str(error).startswith("wspulse: ")


def test_every_exported_name_stands_in_a_document() -> None:
    text = "\n".join(path.read_text() for path in [ROOT / "README.md", *(ROOT / "doc").rglob("*.md")])
    assert [
        name for name in (*wspulse.__all__, *wspulse.client.__all__, *wspulse.fastapi.__all__) if name not in text
    ] == []
