"""The names that other programs rely on: they are there, and the documents speak of each."""

from __future__ import annotations

from pathlib import Path

import wspulse

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


def test_published_errors_have_one_root_and_say_who_speaks() -> None:
    errors = [getattr(wspulse, name) for name in PUBLISHED if name.endswith("Error")]
    assert all(issubclass(error, wspulse.WspulseError) for error in errors)
    for error in (wspulse.ConnectionNotFoundError("alice"), wspulse.ShardUnavailableError("it is down")):
        assert str(error).startswith("wspulse: ")


def test_every_exported_name_stands_in_a_document() -> None:
    text = "\n".join(path.read_text() for path in [ROOT / "README.md", *(ROOT / "doc").glob("*.md")])
    assert [name for name in wspulse.__all__ if name not in text] == []
