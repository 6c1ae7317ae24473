from __future__ import annotations

from importlib.metadata import version

from wspulse.supervisor.host.installed import installed_version


def test_version_is_what_the_metadata_say_or_none() -> None:
    assert installed_version("wspulse") == version("wspulse")
    assert installed_version("wspulse-that-is-not-there") is None
