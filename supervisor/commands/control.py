"""The subcommands that steer a running server: `wspulse send`, `stats`, `events` and the others.

Each reads its `arguments`, makes one call with `Control`, and prints its `rendering`: tables for people or, with --json,
JSON for programs. Exit codes: 0 done, 1 the server refused, 2 asked wrongly, 3 no server answered.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from wspulse.actors.values.errors import ControlError
from wspulse.supervisor.client.blocking import Control
from wspulse.supervisor.commands.arguments import (
    WrongUseError,
    broadcast_arguments,
    connections_arguments,
    events_arguments,
    keygen_arguments,
    kick_arguments,
    listing_arguments,
    membership_arguments,
    presence_arguments,
    read_frame,
    reload_arguments,
    restart_arguments,
    scale_arguments,
    send_arguments,
    server_arguments,
    servers_arguments,
    top_arguments,
)
from wspulse.supervisor.commands.parser import CommandParser, UnparsableError
from wspulse.supervisor.commands.rendering import (
    connections_text,
    event_json,
    event_line,
    hosts_text,
    json_text,
    moved_text,
    presence_text,
    rooms_text,
    stats_text,
)
from wspulse.supervisor.commands.servers import AbsentServerError, server_rows, servers_text
from wspulse.supervisor.commands.table import counted
from wspulse.supervisor.commands.terminal import exit_code_of, leave_stdout, print_error, print_text, printable
from wspulse.supervisor.errors import SettingError
from wspulse.supervisor.protocol.address import absence
from wspulse.supervisor.protocol.calls import TIMEOUT_S, calls
from wspulse.supervisor.protocol.curve import write_pair
from wspulse.supervisor.protocol.types import Listing
from wspulse.supervisor.settings.layers import resolve_named

__all__ = ["COMMANDS", "ControlCommand"]


class ControlCommand(NamedTuple):
    """A subcommand: `run(arguments)` gets what stands behind its name and returns the exit code."""

    help: str
    run: Callable[[Sequence[str]], int]


def _command(
    name: str, text: str, add_arguments: Callable[[argparse.ArgumentParser], None], run: Callable[[Any], None]
) -> ControlCommand:
    def run_command(arguments: Sequence[str]) -> int:
        return exit_code_of(lambda: run_parsed(arguments))

    def run_parsed(arguments: Sequence[str]) -> int:
        parser = CommandParser(prog=f"wspulse {name}", description=f"{text[0].upper()}{text[1:]}.")
        add_arguments(parser)
        try:
            run(parser.parse_mixed(arguments))
        except UnparsableError as error:
            hint = "; put an id that begins with a dash after --" if _has_dashed_word(arguments) else ""
            return _fail(f"{error}{hint} (see {parser.prog} --help)", 2)
        except (WrongUseError, SettingError, ValueError) as error:
            return _fail(str(error), 2)
        except AbsentServerError as error:
            _fail(str(error), 3)
            for line in error.lines:
                print_error(printable(line))
            return 3
        except ControlError as error:
            return _fail(str(error), 3 if error.error_code == "unavailable" else 1)
        except BrokenPipeError:  # of what `top` draws
            leave_stdout()
        except OSError as error:
            return _fail(str(error), 1)
        return 0

    return ControlCommand(text, run_command)


def _has_dashed_word(arguments: Sequence[str]) -> bool:
    """Whether some word begins with one dash, as no option here does but -h."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return any(len(word) > 1 and word[0] == "-" != word[1] for word in options)


def _fail(text: str, code: int) -> int:
    print_error(printable(f"wspulse: {text.removeprefix('wspulse: ')}"))
    return code


def _open(options: Any) -> Control:
    """Raises AbsentServerError at once where nobody can be there: a person at the command line waits for it."""
    endpoint, port = _place(options)
    control = Control(
        endpoint,
        port=port,
        timeout=TIMEOUT_S if options.timeout is None else options.timeout,
        server_key=options.server_key,
        client_key=options.client_key,
    )
    if reason := absence(control.endpoint):
        raise AbsentServerError(control.endpoint, reason)
    return control


def _place(options: Any) -> tuple[str | None, int | None]:
    """Control endpoint or port, of the arguments, else as the server's variables and its file name them."""
    if options.control or options.port is not None:
        return options.control, options.port
    named = resolve_named({"control", "port"}, options.config, os.environ)
    endpoint, port = named.get("control"), named.get("port")
    if endpoint is not None and not endpoint.endswith(":*"):
        return endpoint, None
    if port == 0:
        raise WrongUseError(
            "WSPULSE_PORT, or `port` in the file, is 0: any free port; give --port (`wspulse servers` shows it)"
        )
    return None, port


def _send(options: Any) -> None:
    frame = read_frame(options)
    with _open(options) as control:
        control.send(options.connection, frame)


def _broadcast(options: Any) -> None:
    frame = read_frame(options)
    with _open(options) as control:
        members = control.connections(options.room)
        control.broadcast(options.room, frame, options.exclude)
    count = len({member.id for member in members} - set(options.exclude))
    print_text(f"sent to {counted(count, 'session')}")
    _warn_of_missing(members)


def _kick(options: Any) -> None:
    with _open(options) as control:
        control.kick(options.connection, options.code, options.reason)


def _join(options: Any) -> None:
    with _open(options) as control:
        control.join(options.connection, options.room)


def _leave(options: Any) -> None:
    with _open(options) as control:
        control.leave(options.connection, options.room)


def _connections(options: Any) -> None:
    with _open(options) as control:
        listing = control.connections(options.room)
    _warn_of_missing(listing)
    found = sorted(listing, key=lambda item: (item.room, item.id))
    print_text(json_text(found) if options.json else connections_text(found))


def _presence(options: Any) -> None:
    with _open(options) as control:
        listing = control.presence(options.room)
    _warn_of_missing(listing)
    found = sorted(listing, key=lambda item: item.id)
    print_text(json_text(found) if options.json else presence_text(found))


def _hosts(options: Any) -> None:
    with _open(options) as control:
        found = control.hosts()
    print_text(json_text(found) if options.json else hosts_text(found))


def _rooms(options: Any) -> None:
    with _open(options) as control:
        listing = control.rooms()
    _warn_of_missing(listing)
    found = sorted(listing, key=lambda item: (-item.connections, item.id))
    print_text(json_text(found) if options.json else rooms_text(found))


def _warn_of_missing(listing: Listing[Any]) -> None:
    if listing.missing_shards:
        shards = ", ".join(str(shard) for shard in listing.missing_shards)
        whose = f"shard {shards}; its" if len(listing.missing_shards) == 1 else f"shards {shards}; their"
        print_error(f"wspulse: incomplete: no answer from {whose} connections are missing")


def _stats(options: Any) -> None:
    with _open(options) as control:
        stats = control.stats()
    print_text(json_text(stats) if options.json else stats_text(stats))


def _servers(options: Any) -> None:
    rows = server_rows()
    print_text(json_text(rows) if options.json else servers_text(rows))


def _events(options: Any) -> None:
    with _open(options) as control, control.events(*options.topics) as events:
        for event in events:
            print_text(event_json(event) if options.json else event_line(event))


def _restart(options: Any) -> None:
    with _open(options) as control:
        moved = control.call(calls.restart(options.shard, drain=options.drain), options.timeout)
    print_text(json_text(moved) if options.json else moved_text([moved]))


def _reload(options: Any) -> None:
    with _open(options) as control:
        moved = control.call(calls.reload(drain=options.drain), options.timeout)
    print_text(json_text(moved) if options.json else moved_text(moved))


def _scale(options: Any) -> None:
    with _open(options) as control:
        scaled = control.call(calls.scale(options.workers), options.timeout)
    print_text(json_text(scaled) if options.json else moved_text([scaled]))


def _shutdown(options: Any) -> None:
    with _open(options) as control:
        control.shutdown()


def _top(options: Any) -> None:
    try:
        from wspulse.supervisor.commands.top.screen import run_top
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "rich":
            raise
        raise WrongUseError("`top` needs the package rich; install it: pip install 'wspulse[top]'") from None
    with _open(options) as control:
        run_top(control, max(0.1, options.period), hosts=options.hosts)


def _keygen(options: Any) -> None:
    if "/" in options.name or not options.name:
        raise WrongUseError(f"{options.name!r} is not a file name; use --folder to choose where the files are written")
    public, secret = write_pair(Path(options.folder), options.name)
    print_text(f"{public}\n{secret}")


COMMANDS = {
    name: _command(name, text, add_arguments, run)
    for name, text, add_arguments, run in (
        ("send", "send a frame to one connection", send_arguments, _send),
        ("broadcast", "send a frame to all connections of a room", broadcast_arguments, _broadcast),
        ("kick", "close a connection now", kick_arguments, _kick),
        ("join", "make a connection join a room", membership_arguments, _join),
        ("leave", "make a connection leave a room", membership_arguments, _leave),
        ("connections", "list the connections", connections_arguments, _connections),
        ("presence", "list who is in a room", presence_arguments, _presence),
        ("rooms", "list the rooms", listing_arguments, _rooms),
        ("hosts", "list the hosts of the cluster", listing_arguments, _hosts),
        ("servers", "list your servers that run on this machine", servers_arguments, _servers),
        ("stats", "show the server's counters", listing_arguments, _stats),
        ("top", "watch workers and rooms, or hosts, live", top_arguments, _top),
        ("events", "print events as they happen", events_arguments, _events),
        ("restart", "replace one worker and move its connections to the new one", restart_arguments, _restart),
        (
            "reload",
            "replace all workers, one after another, and move their connections to the new ones",
            reload_arguments,
            _reload,
        ),
        ("scale", "change the number of workers", scale_arguments, _scale),
        ("shutdown", "shut the server down gracefully", server_arguments, _shutdown),
        ("keygen", "make CURVE keys for a control socket over TCP", keygen_arguments, _keygen),
    )
}
