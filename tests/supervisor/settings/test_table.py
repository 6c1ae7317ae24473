"""The table of settings, and that it says of the server's options what they say themselves."""

from __future__ import annotations

from typing import Any

import pytest

from wspulse.actors.values.options.kinds import Count, Duration, OneOf, Truth
from wspulse.actors.values.options.server_options import OPTION_KINDS, ServerOptions
from wspulse.actors.values.options.table import OPTION_TABLE
from wspulse.supervisor.settings.kinds import Choice, Integer, Seconds, Switch
from wspulse.supervisor.settings.table import TABLE, Setting
from wspulse.supervisor.worker.application import CODECS

OPTIONS = [setting for setting in TABLE if setting.option]


@pytest.mark.parametrize("setting", OPTIONS, ids=lambda setting: setting.name)
def test_every_server_option_of_the_table_exists(setting: Setting) -> None:
    assert setting.option in {*ServerOptions.__dataclass_fields__, "allow_origin"}
    assert setting.default is None, "its default is the application's"


@pytest.mark.parametrize(
    "setting", [s for s in OPTIONS if isinstance(s.kind, (Integer, Seconds))], ids=lambda setting: setting.name
)
def test_ranges_of_the_table_are_those_of_the_options(setting: Setting) -> None:
    """A wrong value is told with its source before any worker runs, by another check than the option's own."""
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


def test_every_server_option_that_text_can_mean_has_a_setting_with_its_help() -> None:
    unnamed = {"logger", "publish_messages"}
    option_of = {"allow_origin": "check_origin"}
    told = {option_of.get(setting.option, setting.option): setting.help for setting in OPTIONS}
    assert told == {row.name: row.help for row in OPTION_TABLE if row.name not in {"connect", *unnamed}}
    assert all(told.values())
    assert [row.name for row in OPTION_TABLE if not row.help] == ["connect", "publish_messages", "logger"]


def shape(kind: object) -> tuple[object, ...] | None:
    """What a kind of the options, or of the settings, comes to; None for one that says nothing that can be compared."""
    match kind:
        case Duration() | Seconds():
            return ("seconds", kind.low, kind.high, kind.above)
        case Count() | Integer():
            return ("integer", kind.low, kind.high, kind.unit)
        case OneOf() | Choice():
            return ("one of", *kind.names)
        case Truth() | Switch():
            return ("switch",)
        case _:
            return None


def test_settings_of_plain_options_read_the_kinds_of_the_options() -> None:
    plain = {name: shape(kind) for name, kind in OPTION_KINDS.items() if shape(kind) and name != "publish_messages"}
    assert len(plain) == 22
    assert {setting.option: shape(setting.kind) for setting in OPTIONS if setting.option in plain} == plain


def test_choices_of_the_table_are_those_that_the_workers_know() -> None:
    kinds = {setting.option: setting.kind for setting in OPTIONS}
    codec, on_duplicate, compression = kinds["codec"], kinds["on_duplicate"], kinds["compression"]
    assert isinstance(codec, Choice)
    assert codec.names == tuple(CODECS)
    assert isinstance(on_duplicate, Choice)
    for mode in on_duplicate.names:
        ServerOptions(on_duplicate=mode, resume_window=1)
    assert isinstance(compression, Choice)
    for method in compression.names:
        ServerOptions(compression=method)
