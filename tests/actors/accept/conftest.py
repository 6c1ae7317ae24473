"""What tests of the HTTP application share: each runs with both of uvicorn's parsers."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from wspulse.actors.accept import http_app


@pytest.fixture(params=["httptools", "h11"])
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "h11":
        find = find_spec
        monkeypatch.setattr(http_app, "find_spec", lambda name: None if name == "httptools" else find(name))
    return str(request.param)
