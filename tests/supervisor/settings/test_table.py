"""The table of settings, beside the options that it sets."""

from __future__ import annotations

from typing import Any

import pytest

from wspulse.actors.values.config import ServerOptions
from wspulse.supervisor.settings.kinds import Integer, Seconds
from wspulse.supervisor.settings.table import TABLE, Setting

OPTIONS = [setting for setting in TABLE if setting.option]


@pytest.mark.parametrize("setting", OPTIONS, ids=lambda setting: setting.name)
def test_every_server_option_of_the_table_exists(setting: Setting) -> None:
    assert setting.option in {*ServerOptions.__dataclass_fields__, "allow_origin"}
    assert setting.default is None, "its default is the application's"


@pytest.mark.parametrize(
    "setting", [s for s in OPTIONS if isinstance(s.kind, (Integer, Seconds))], ids=lambda setting: setting.name
)
def test_ranges_of_the_table_are_those_of_the_options(setting: Setting) -> None:
    """The table has them too, so that a wrong value is told with its source before any worker runs."""
    kind = setting.kind
    assert isinstance(kind, (Integer, Seconds))
    step = 1 if isinstance(kind, Integer) else 0.001
    excludes_low = isinstance(kind, Seconds) and kind.above
    # So that no other option stands in the way: pong_wait must be above ping_period.
    others: dict[str, Any] = {"ping_period": 0.0001} if setting.option == "pong_wait" else {"pong_wait": 600.0}
    for value, is_allowed in (
        (kind.low, not excludes_low),
        (kind.low + step, True),
        (kind.low - step, False),
        (kind.high, True),
        (kind.high + step, False),
    ):
        if is_allowed:
            kind.from_toml(value)
            ServerOptions(**{**others, setting.option: value})
        else:
            with pytest.raises(ValueError, match="out of range"):
                kind.from_toml(value)
            with pytest.raises(ValueError, match="out of range"):
                ServerOptions(**{**others, setting.option: value})
