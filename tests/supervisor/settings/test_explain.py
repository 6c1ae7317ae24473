"""`--explain OPTION`: every option has a meaning, a range, a default and a reason, under each of its names."""

from __future__ import annotations

import pytest

from wspulse.actors.values.options.table import OPTION_TABLE, OptionRow
from wspulse.supervisor.cli import serve
from wspulse.supervisor.errors import SettingError
from wspulse.supervisor.settings.explain import REASONS, explain
from wspulse.supervisor.settings.table import TABLE, Setting


@pytest.mark.parametrize("setting", TABLE, ids=lambda setting: setting.name)
def test_every_setting_is_explained_whole(setting: Setting) -> None:
    lines = explain(setting.flag).splitlines()
    labels = [line.split()[0] for line in lines[1:]]
    assert lines[0] == setting.flag
    assert [label for label in labels if label != "unit"] == ["meaning", "allowed", "default", "reason", "also"]
    for line in lines[1:]:
        assert len(line.split(maxsplit=1)) == 2, f"{line!r} says nothing"
        assert "None" not in line


def test_reasons_are_those_of_settings_that_are_no_server_options() -> None:
    known = {row.name for row in OPTION_TABLE}
    assert set(REASONS) == {setting.name for setting in TABLE if setting.option not in known}


@pytest.mark.parametrize("row", OPTION_TABLE, ids=lambda row: row.name)
def test_every_server_option_is_explained_with_the_reason_of_the_documents(row: OptionRow) -> None:
    text = explain(row.name)
    if row.name != "check_origin":
        assert row.reason in text


@pytest.mark.parametrize(
    "name", ["--resume-window", "resume-window", "resume_window", "WSPULSE_RESUME_WINDOW", "RESUME_WINDOW"]
)
def test_option_may_be_named_as_flag_variable_or_key(name: str) -> None:
    text = explain(name)
    assert text.startswith("--resume-window\n")
    for part in ("seconds", "0 … 180", "WSPULSE_RESUME_WINDOW", "Server(resume_window=...)"):
        assert part in text


def test_options_without_a_flag_say_so() -> None:
    assert "no flag" in explain("logger")
    assert explain("--no-suspend-on-clean-close") == explain("suspend_on_clean_close")
    assert explain("subprotocols") == explain("--subprotocol")


def test_unknown_option_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingError, match="did you mean resume_window"):
        explain("--resume-windw")
    with pytest.raises(SettingError, match="options are "):
        explain("")


@pytest.mark.parametrize(
    "arguments", [["--explain", "--port"], ["--explain=port"], ["--workers", "3", "--explain", "port"]]
)
def test_command_line_explains_and_ends(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert serve(arguments) == 0
    assert capsys.readouterr().out == explain("port") + "\n"


def test_command_line_refuses_what_it_cannot_explain(capsys: pytest.CaptureFixture[str]) -> None:
    assert serve(["--explain", "nonsense"]) == 2
    assert serve(["--explain"]) == 2
    assert capsys.readouterr().err.count("wspulse: --explain: ") == 2


def test_all_options_are_explained_at_once() -> None:
    blocks = explain("all").split("\n\n")
    titles = [block.splitlines()[0] for block in blocks]
    assert titles == [
        *(setting.flag for setting in TABLE),
        *(f"Server({name}=...)" for name in ("connect", "publish_messages", "logger")),
    ]
