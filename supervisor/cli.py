"""The command line: `wspulse <subcommand> ...`, and `python -m wspulse.supervisor ...`, which is `wspulse serve ...`.

Reads flags into settings, starts what was asked for, and turns its errors into one line and an exit code: 0 an orderly
end, 1 it failed, 2 it was asked wrongly.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from wspulse.supervisor.commands.control import COMMANDS
from wspulse.supervisor.commands.doctor.doctor import doctor
from wspulse.supervisor.commands.line import LINE_COMMANDS
from wspulse.supervisor.commands.new import new
from wspulse.supervisor.commands.parser import CommandParser, UnparsableError, did_you_mean
from wspulse.supervisor.commands.terminal import exit_code_of, print_error, print_text, printable
from wspulse.supervisor.errors import StartError, UsageError
from wspulse.supervisor.host.installed import installed_version
from wspulse.supervisor.settings.explain import explain, value_text
from wspulse.supervisor.settings.kinds import Folders, Names, Switch
from wspulse.supervisor.settings.layers import resolve
from wspulse.supervisor.settings.table import GROUPS, TABLE, Setting

__all__ = ["SUBCOMMANDS", "Subcommand", "main", "serve"]


class Subcommand(NamedTuple):
    """A subcommand of `wspulse`: `run(arguments)` gets what stands behind its name and returns the exit code."""

    help: str
    run: Callable[[Sequence[str]], int]


def main(argv: Sequence[str] | None = None) -> int:
    """`wspulse ...`. Returns the exit code."""
    return exit_code_of(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = arguments[0] if arguments else "--help"
    if name in SUBCOMMANDS:
        return SUBCOMMANDS[name].run(arguments[1:])
    if name in ("-h", "--help"):
        print_text(_overview())
        return 0
    if name == "--version":
        print_text(_version_text())
        return 0
    if ":" in name and not name.startswith("-"):
        return serve(arguments)
    print_error(f"wspulse: {_why_unknown(name)} (see wspulse --help)")
    return 2


def _why_unknown(name: str) -> str:
    if name.startswith("-"):
        return f"a command comes first, as in: wspulse serve {name}"
    hint = did_you_mean(name, SUBCOMMANDS) or "; to run an application, give MODULE:ATTR, such as chat:server"
    return f"there is no command {name!r}{hint}"


def serve(argv: Sequence[str] | None = None) -> int:
    """`wspulse serve ...`, `python -m wspulse.supervisor ...`: run a server until its end. Returns the exit code."""
    # A ^C can come before the supervisor listens to signals.
    return exit_code_of(lambda: _serve(argv))


def _serve(argv: Sequence[str] | None) -> int:
    try:
        flags = _parse(sys.argv[1:] if argv is None else argv)
        if flags is None:
            return 0
        if flags.pop("check", False):
            return _check_server(flags)
        return _run_server(flags)
    except StartError as error:
        print_error(str(error))
        return error.exit_code


def _check_server(flags: dict[str, Any]) -> int:
    settings = resolve(flags, os.environ)
    from wspulse.supervisor.check.check import check

    print_text(check(settings))
    return 0


def _run_server(flags: dict[str, Any]) -> int:
    if os.getpid() == 1:
        # Process 1 gets only signals that it handles: what stops a container in its first second would be waited out.
        signal.signal(signal.SIGTERM, _end_early)
    settings = resolve(flags, os.environ)
    _open_standard_streams()
    # Only now, so that --help and wrong flags are answered without loading what a server needs.
    import uvloop

    from wspulse.supervisor.host.process_title import set_process_title
    from wspulse.supervisor.logs.configuration import configure_logs, tell
    from wspulse.supervisor.process.signals import ignore_signals
    from wspulse.supervisor.supervisor import Supervisor

    configure_logs(settings.log_level, settings.log_format, "supervisor")
    is_hidden = set_process_title("supervisor")
    if (
        settings.named.get("cluster") == "--cluster"
        and any("@" in url for url in settings.cluster or ())
        and not is_hidden
    ):
        logging.getLogger("wspulse.supervisor").warning(
            "every user of this machine can read the password in --cluster: put it into WSPULSE_CLUSTER or the TOML file"
        )
    if settings.unknown_variables:
        names = ", ".join(settings.unknown_variables)
        logging.getLogger("wspulse.supervisor").warning("unknown WSPULSE_* variables", extra={"names": names})
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(Supervisor(settings, lambda: resolve(flags, os.environ)).run())
    except StartError as error:
        tell(str(error))
        return error.exit_code
    finally:
        ignore_signals()


def _end_early(number: int, _frame: object) -> NoReturn:
    """Before the supervisor listens to signals there is nothing to end in order."""
    raise SystemExit(128 + number)


def _open_standard_streams() -> None:
    """See that the descriptors 0, 1 and 2 are open: sockets must not take their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            os.set_inheritable(number, True)
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def _parse(arguments: Sequence[str]) -> dict[str, Any] | None:
    """The flags that were given, by setting; None when only help, the version or an option was asked about, and told."""
    parser = CommandParser(
        prog="wspulse serve",
        description="Run a WebSocket server: one supervisor and N worker processes.",
        epilog="Every setting may also come from a variable (WSPULSE_MAX_MESSAGE_SIZE=65536) or from the TOML file "
        "(max_message_size = 65536). Flags override variables, and variables override the file.",
        argument_default=argparse.SUPPRESS,
        add_help=False,
    )
    parser.add_argument("application", nargs="?", metavar="APP", help="the same as --app APP")
    groups = {name: parser.add_argument_group(name) for name in GROUPS}
    for setting in TABLE:
        _add_flag(groups[setting.group], setting)
    others = parser.add_argument_group("other")
    others.add_argument("-h", "--help", action="store_true", help="show this help and exit")
    others.add_argument("--version", action="store_true", help="show the version and exit")
    others.add_argument(
        "--check",
        action="store_true",
        help="load the settings and the application, print what would run, and exit: 0 if it would start, 2 if not",
    )
    others.add_argument("--explain", metavar="OPTION", help="explain an option, or `all` of them, and exit")
    try:
        flags = vars(parser.parse_mixed(_with_values_joined(arguments)))
    except UnparsableError as error:
        text = re.sub(r"(\w://)\S*@", r"\1", str(error))  # of a mistyped --cluster, say
        raise UsageError(printable(f"{text} (see {parser.prog} --help)")) from None
    application = flags.pop("application", None)
    if application is not None and flags.setdefault("app", application) != application:
        raise UsageError(f"two applications are given: {application} and --app {flags['app']}")
    if (option := flags.pop("explain", None)) is not None:
        print_text(explain(option))
        return None
    if flags.pop("help", False):
        parser.print_help()
        return None
    if flags.pop("version", False):
        print_text(_version_text())
        return None
    return flags


def _with_values_joined(arguments: Sequence[str]) -> list[str]:
    """The parser would take the option behind --explain for a flag that is set, and an application behind --reload for its
    folder."""
    joined: list[str] = []
    for word in arguments:
        before = joined[-1] if joined else ""
        if before == "--explain":
            joined[-1] = f"--explain={word}"
            continue
        if before == "--reload" and ":" in word and not Path(word).exists():
            joined[-1] = f"--reload={Folders.HERE}"
        joined.append(word)
    return joined


def _add_flag(group: Any, setting: Setting) -> None:
    text = setting.help if setting.default is None else f"{setting.help} (default: {value_text(setting.default)})"
    text = text.replace("%", "%%")
    if isinstance(setting.kind, Switch):
        group.add_argument(setting.flag, action=argparse.BooleanOptionalAction, help=text)
    elif isinstance(setting.kind, Folders):
        metavar, here = setting.kind.metavar, setting.kind.HERE
        group.add_argument(
            setting.flag, action="append", nargs="?", const=here, metavar=metavar, help=f"{text}; may be repeated"
        )
    elif isinstance(setting.kind, Names):
        group.add_argument(setting.flag, action="append", metavar=setting.kind.metavar, help=f"{text}; may be repeated")
    else:
        group.add_argument(setting.flag, metavar=setting.kind.metavar, help=text)


def _overview() -> str:
    commands = [f"  {name:12} {subcommand.help}" for name, subcommand in SUBCOMMANDS.items()]
    return "\n".join(
        [
            "usage: wspulse <command> ...",
            "       wspulse MODULE:ATTR ...    run that application, as `wspulse serve MODULE:ATTR ...` does",
            "",
            *commands,
            "",
            "`wspulse <command> --help` lists its options; `wspulse --version` shows the version.",
        ]
    )


def _version_text() -> str:
    return f"wspulse {installed_version('wspulse') or '(version unknown)'}"


SUBCOMMANDS = {
    "serve": Subcommand("run a server", serve),
    "new": Subcommand("create a starter project", new),
    "doctor": Subcommand("check whether this machine can hold a number of connections, and what to change", doctor),
    **{name: Subcommand(command.help, command.run) for name, command in (COMMANDS | LINE_COMMANDS).items()},
}
