"""The subcommands that steer a running server: `wspulse send`, `stats`, `events` and the others.

Each reads its arguments, makes one call with `Control`, and prints tables for people or, with --json, JSON for programs.
Exit codes: 0 done, 1 the server refused, 2 asked wrongly, 3 no server answered.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import msgspec

from wspulse.actors.values.errors import ControlError
from wspulse.actors.values.frame import Frame
from wspulse.supervisor.client.blocking import Control
from wspulse.supervisor.commands.table import bytes_text, duration_text, table_lines
from wspulse.supervisor.protocol.curve import write_pair
from wspulse.supervisor.protocol.types import Event

__all__ = ["COMMANDS", "ControlCommand"]

TIMEOUT_S = 10.0


class ControlCommand(NamedTuple):
    """A subcommand: `run(arguments)` gets what stands behind its name and returns the exit code."""

    help: str
    run: Callable[[Sequence[str]], int]


class _WrongUseError(Exception):
    pass


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise _WrongUseError(f"{message} ({self.prog} --help tells more)")


def _command(
    name: str, text: str, add_arguments: Callable[[argparse.ArgumentParser], None], run: Callable[[Any], None]
) -> ControlCommand:
    def run_command(arguments: Sequence[str]) -> int:
        parser = _Parser(prog=f"wspulse {name}", description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False)
        add_arguments(parser)
        try:
            run(parser.parse_intermixed_args(list(arguments)))
            sys.stdout.flush()
        except (_WrongUseError, ValueError) as error:
            return _fail(str(error), 2)
        except ControlError as error:
            return _fail(str(error), 3 if error.error_code == "unavailable" else 1)
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody reads any more, also not at exit
                return 0
            return _fail(str(error), 1)
        except KeyboardInterrupt:
            return 130
        return 0

    return ControlCommand(text, run_command)


def _fail(text: str, code: int) -> int:
    print(f"wspulse: {text.removeprefix('wspulse: ')}", file=sys.stderr)
    return code


# Arguments.


def _where(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("which server")
    group.add_argument("--control", metavar="ENDPOINT", help="its control socket, as its ready line says")
    group.add_argument(
        "--port", type=int, help="the port that it serves; default: 8000 (or WSPULSE_CONTROL, WSPULSE_PORT)"
    )
    group.add_argument("--timeout", type=float, default=TIMEOUT_S, metavar="S", help="how long to wait for it")
    group.add_argument("--server-key", metavar="FILE", help="with CURVE: the server's NAME.key")
    group.add_argument("--client-key", metavar="FILE", help="with CURVE: one's own NAME.key_secret")


def _open(options: Any) -> Control:
    return Control(
        options.control,
        port=options.port,
        timeout=options.timeout,
        server_key=options.server_key,
        client_key=options.client_key,
    )


def _plain(parser: argparse.ArgumentParser) -> None:
    _where(parser)


def _listing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    _where(parser)


def _frame_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "payload", nargs="?", metavar="PAYLOAD", help="JSON; without it, or as -, it is read from stdin"
    )
    parser.add_argument("--event", default="", metavar="NAME", help="the frame's event")
    parser.add_argument("--id", default="", help="the frame's id")
    parser.add_argument("--text", action="store_true", help="the payload is a text and no JSON")
    _where(parser)


def _frame(options: Any) -> Frame:
    text = options.payload
    if text is None or text == "-":
        if sys.stdin.isatty():
            raise _WrongUseError("the payload is missing: give JSON as an argument, or on stdin")
        text = sys.stdin.read()
    if options.text:
        return Frame(options.event, text, options.id)
    if not text.strip():
        return Frame(options.event, id=options.id)
    try:
        msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise _WrongUseError(f"the payload is no JSON: {error} (--text sends it as a string)") from None
    return Frame(options.event, msgspec.Raw(text.strip().encode()), options.id)


# Commands.


def _send_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("connection", metavar="CONNECTION", help="its id")
    _frame_arguments(parser)


def _send(options: Any) -> None:
    frame = _frame(options)
    with _open(options) as control:
        control.send(options.connection, frame)


def _broadcast_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("room", metavar="ROOM", help="its id")
    _frame_arguments(parser)


def _broadcast(options: Any) -> None:
    frame = _frame(options)
    with _open(options) as control:
        control.broadcast(options.room, frame)


def _kick_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("connection", metavar="CONNECTION", help="its id")
    _where(parser)


def _kick(options: Any) -> None:
    with _open(options) as control:
        control.kick(options.connection)


def _connections_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("room", nargs="?", metavar="ROOM", help="only those of this room")
    _listing(parser)


def _connections(options: Any) -> None:
    with _open(options) as control:
        found = sorted(control.connections(options.room), key=lambda item: (item.room, item.id))
    if options.json:
        _print_json(found)
        return
    rows = [(item.id, item.room, item.shard, item.state, _time_text(item.connected_at), item.queued) for item in found]
    _print_table(("CONNECTION", "ROOM", "SHARD", "STATE", "SINCE", "QUEUED"), rows)


def _rooms(options: Any) -> None:
    with _open(options) as control:
        found = sorted(control.rooms(), key=lambda item: (-item.connections, item.id))
    if options.json:
        _print_json(found)
    else:
        _print_table(("ROOM", "CONNECTIONS"), [(item.id, item.connections) for item in found])


def _stats(options: Any) -> None:
    with _open(options) as control:
        stats = control.stats()
    if options.json:
        _print_json(stats)
        return
    total = stats.totals
    print(
        f"wspulse {stats.version}, pid {stats.pid}, up {duration_text(stats.uptime_s)}, "
        f"supervisor {bytes_text(stats.rss_bytes)}"
    )
    print(
        f"{total.connections} connections, {total.frames_in} frames in, {total.frames_out} out, "
        f"{total.frames_dropped} dropped, {total.bus_gaps} bus gaps, {total.events_dropped} events dropped\n"
    )
    head = [
        "SHARD",
        "PID",
        "STATE",
        "RESTARTS",
        "CONNECTIONS",
        "ROOMS",
        "QUEUED",
        "IN",
        "OUT",
        "DROPPED",
        "GAPS",
        "LAG",
        "MEMORY",
        "UP",
    ]
    rows = [
        (
            worker.shard,
            worker.pid,
            worker.state,
            worker.restarts,
            worker.connections,
            worker.rooms,
            worker.queued,
            worker.frames_in,
            worker.frames_out,
            worker.frames_dropped,
            worker.bus_gaps,
            f"{worker.loop_lag_worst_s * 1000:.1f} ms",
            bytes_text(worker.rss_bytes),
            duration_text(worker.uptime_s),
        )
        for worker in stats.workers
    ]
    _print_table(head, rows)


def _events_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "topics",
        nargs="*",
        metavar="TOPIC",
        help="what topics begin with: connect. message. disconnect. drop. restore. (a room may follow) worker.; all",
    )
    _listing(parser)


def _events(options: Any) -> None:
    with _open(options) as control, control.events(*options.topics) as events:
        for event in events:
            print(msgspec.json.encode(_event_map(event)).decode() if options.json else _event_line(event), flush=True)


def _event_map(event: Event) -> dict[str, Any]:
    fields = msgspec.to_builtins(event)
    return {name: value for name, value in fields.items() if value is not None and value != ""}


def _event_line(event: Event) -> str:
    words = [_time_text(event.time), f"{event.kind:16}"]
    if event.kind.startswith("worker."):
        words.append(f"shard {event.shard}, pid {event.pid}")
    else:
        words.append(f"{event.connection} in {event.room} (shard {event.shard})")
    if event.error is not None:
        words.append(event.error.get("message", ""))
    if event.frame is not None:
        words.append(msgspec.json.encode(event.frame).decode())
    if event.missed:
        words.append("[events may be missing before this one]")
    return "".join(letter if letter.isprintable() else "�" for letter in "  ".join(words))


def _restart_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shard", type=int, metavar="SHARD", help="its number, from 0")
    _where(parser)


def _restart(options: Any) -> None:
    with _open(options) as control:
        control.restart(options.shard)


def _reload(options: Any) -> None:
    with _open(options) as control:
        control.reload()


def _shutdown(options: Any) -> None:
    with _open(options) as control:
        control.shutdown()


def _top_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--period", type=float, default=1.0, metavar="S", help="between two looks")
    _where(parser)


def _top(options: Any) -> None:
    try:
        from wspulse.supervisor.commands.top import run_top
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "rich":
            raise
        raise _WrongUseError("`top` needs the package rich; install it with: pip install 'wspulse[top]'") from None
    with _open(options) as control:
        run_top(control, max(0.1, options.period))


def _keygen_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the files are NAME.key (public) and NAME.key_secret")
    parser.add_argument("--folder", default=".", help="where they are written")


def _keygen(options: Any) -> None:
    if "/" in options.name or not options.name:
        raise _WrongUseError(f"{options.name!r} is no name for files; --folder says where they are written")
    public, secret = write_pair(Path(options.folder), options.name)
    print(f"{public}\n{secret}")


def _print_json(value: Any) -> None:
    print(msgspec.json.encode(value).decode())


def _print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    print("\n".join(table_lines(head, rows)))


def _time_text(when: float) -> str:
    return datetime.fromtimestamp(when).astimezone().strftime("%Y-%m-%d %H:%M:%S")


COMMANDS = {
    name: _command(name, text, add_arguments, run)
    for name, text, add_arguments, run in (
        ("send", "send a frame to one connection", _send_arguments, _send),
        ("broadcast", "send a frame to all connections of a room", _broadcast_arguments, _broadcast),
        ("kick", "close a connection now", _kick_arguments, _kick),
        ("connections", "list the connections", _connections_arguments, _connections),
        ("rooms", "list the rooms", _listing, _rooms),
        ("stats", "show what the server counts", _listing, _stats),
        ("top", "watch workers and rooms live", _top_arguments, _top),
        ("events", "print what happens, as it happens", _events_arguments, _events),
        ("restart", "replace one worker; its clients are told to come back", _restart_arguments, _restart),
        ("reload", "replace all workers, one after another", _plain, _reload),
        ("shutdown", "end the server in order", _plain, _shutdown),
        ("keygen", "make CURVE keys for a control socket on tcp", _keygen_arguments, _keygen),
    )
}
