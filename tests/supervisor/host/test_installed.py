from __future__ import annotations

from importlib.metadata import version

import pytest

from wspulse.supervisor.host import installed
from wspulse.supervisor.host.installed import installed_version, missing_of_extras


def test_version_is_what_the_metadata_say_or_none() -> None:
    assert installed_version("wspulse") == version("wspulse")
    assert installed_version("wspulse-that-is-not-there") is None


def test_extras_are_those_of_the_package_each_with_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = missing_of_extras("wspulse")
    assert {"http", "reload", "titles", "top"} <= set(found)
    assert "test" not in found
    monkeypatch.setattr(installed, "installed_version", lambda package: None if package == "uvicorn" else "1")
    found = missing_of_extras("wspulse")
    assert (found["http"], found["titles"]) == (["uvicorn"], [])
    assert missing_of_extras("wspulse-that-is-not-there") == {}
