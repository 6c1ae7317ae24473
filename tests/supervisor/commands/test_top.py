"""The live view."""

from __future__ import annotations

import pytest

from wspulse.supervisor.commands.top import _keys


def test_top_that_was_started_without_an_input_hears_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with _keys() as pressed:
        assert pressed(0.0) == ""
