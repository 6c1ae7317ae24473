"""What a person reads whose arguments are wrong: each kind of command in its own words."""

from __future__ import annotations

import pytest

from wspulse.supervisor.cli import main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("serve --port", "wspulse: --port: expected one argument\n"),
        ("serve --wat", "wspulse: unrecognized arguments: --wat (see --help)\n"),
        ("serve --por x", "wspulse: unrecognized arguments: --por x (see --help)\n"),
        (
            "kick",
            "wspulse: the following arguments are required: CONNECTION (wspulse kick --help tells more)\n",
        ),
        (
            "kick --port x a",
            "wspulse: argument --port: 'x' is no integer; allowed is 1 … 65535 (wspulse kick --help tells more)\n",
        ),
        ("stats --jso", "wspulse: unrecognized arguments: --jso (wspulse stats --help tells more)\n"),
        ("doctor --wat", "wspulse doctor: error: unrecognized arguments: --wat\n"),
        ("doctor --port 70000", "wspulse: --port: 70000 is out of range; allowed is 0 … 65535\n"),
    ],
)
def test_wrong_arguments_end_with_two_and_one_line_that_says_what_is_wrong(
    arguments: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    usage = printed.err.removesuffix(said)
    assert usage != printed.err
    assert usage.startswith("usage: wspulse doctor ") if "doctor" in said else not usage


def test_help_is_printed_to_stdout_with_exit_code_zero(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["kick", "--help"])
    assert not ended.value.code
    printed = capsys.readouterr()
    assert printed.out.startswith("usage: wspulse kick ")
    assert (printed.out[-2:] != "\n\n", printed.err) == (True, "")
