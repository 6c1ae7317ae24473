"""The arguments of the subcommands that steer a server: what each of them takes, and the frame that some are given.

Each function named for a subcommand adds its arguments to a parser; `control` runs what was parsed.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import msgspec

from wspulse.actors.values.frame import Frame
from wspulse.supervisor.commands.parser import argument_of
from wspulse.supervisor.protocol.calls import RESTART_TIMEOUT_S, TIMEOUT_S
from wspulse.supervisor.settings.kinds import Integer, Seconds

__all__ = [
    "WrongUseError",
    "broadcast_arguments",
    "connections_arguments",
    "events_arguments",
    "keygen_arguments",
    "kick_arguments",
    "listing_arguments",
    "membership_arguments",
    "presence_arguments",
    "read_frame",
    "reload_arguments",
    "restart_arguments",
    "scale_arguments",
    "send_arguments",
    "server_arguments",
    "servers_arguments",
    "top_arguments",
]

ID_HELP = "its id; put it after -- if it begins with a dash"

OF_ROOMS = ("connect", "message", "disconnect", "drop", "restore", "transfer")
"""Kinds of events whose topics are KIND.ROOM."""

OF_WORKERS = ("worker.started", "worker.ready", "worker.died", "worker.restarted", "worker.moving")

_TOPICS = ", ".join((*(f"{kind}.ROOM" for kind in OF_ROOMS), *OF_WORKERS))

PORT = argument_of(Integer(1, 65535))

CLOSE_CODE = argument_of(Integer(1000, 4999))

SHARD = argument_of(Integer(0, 1023))

WORKERS = argument_of(Integer(1, 1024))

PATIENCE = argument_of(Seconds(0, 86400))


class WrongUseError(Exception):
    """The arguments are wrong; the text says what is."""


def server_arguments(parser: argparse.ArgumentParser) -> None:
    """Which server is meant: what every subcommand takes that talks to one."""
    group = parser.add_argument_group("which server")
    group.add_argument("--control", metavar="ENDPOINT", help="the server's control socket, as shown in its ready line")
    group.add_argument("--port", type=PORT, help="the port that the server listens on")
    group.add_argument(
        "--config",
        metavar="FILE",
        help="the server's TOML file (default: WSPULSE_CONFIG), read if neither --control nor --port is given; "
        "WSPULSE_CONTROL and WSPULSE_PORT override it. If nothing names a server: the one on port 8000",
    )
    group.add_argument(
        "--timeout",
        type=PATIENCE,
        metavar="S",
        help=f"how long to wait for the server (default: {TIMEOUT_S:g}, or {RESTART_TIMEOUT_S:g} to replace workers)",
    )
    group.add_argument("--server-key", metavar="FILE", help="with CURVE: the public key of the server (NAME.key)")
    group.add_argument("--client-key", metavar="FILE", help="with CURVE: your own keys (NAME.key_secret)")


def listing_arguments(parser: argparse.ArgumentParser) -> None:
    """Of a subcommand that shows something."""
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    server_arguments(parser)


def send_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("connection", metavar="CONNECTION", help=ID_HELP)
    _frame_arguments(parser)


def broadcast_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("room", metavar="ROOM", help=ID_HELP)
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="CONNECTION",
        help="a connection that does not get it; may be repeated",
    )
    _frame_arguments(parser)


def kick_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("connection", metavar="CONNECTION", help=ID_HELP)
    parser.add_argument(
        "--code",
        type=CLOSE_CODE,
        default=1000,
        help="the close code: 1000, 1001, 1008, 1011 to 1014, 3000 to 4999 (default: %(default)s)",
    )
    parser.add_argument("--reason", default="kicked", help="the close reason, up to 123 bytes (default: %(default)s)")
    server_arguments(parser)


def membership_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("connection", metavar="CONNECTION", help=ID_HELP)
    parser.add_argument("room", metavar="ROOM", help=ID_HELP)
    server_arguments(parser)


def connections_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "room", nargs="?", metavar="ROOM", help="only those of this room; put it after -- if it begins with a dash"
    )
    listing_arguments(parser)


def presence_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("room", metavar="ROOM", help=ID_HELP)
    listing_arguments(parser)


def events_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "topics",
        nargs="*",
        type=_topic,
        metavar="TOPIC",
        help=f"only events whose topic begins with this: {_TOPICS}; `connect.` stands for all rooms, `worker.` for all events of "
        "workers (default: all events)",
    )
    listing_arguments(parser)


def _topic(text: str) -> str:
    """Nobody waits for events that there never are."""
    wholes = (*(f"{kind}." for kind in OF_ROOMS), *OF_WORKERS)
    if any(whole.startswith(text) for whole in wholes) or text.startswith(tuple(f"{kind}." for kind in OF_ROOMS)):
        return text
    raise argparse.ArgumentTypeError(f"no event has the topic {text!r}; topics are {_TOPICS}")


def restart_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shard", type=SHARD, metavar="SHARD", help="the number of the shard, from 0")
    reload_arguments(parser)


def reload_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--drain", action="store_true", help="close the connections with 1012 instead of moving them to the new worker"
    )
    listing_arguments(parser)


def scale_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workers", type=WORKERS, metavar="WORKERS", help="the new number of workers")
    listing_arguments(parser)


def servers_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def top_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--hosts", action="store_true", help="show the hosts of the cluster, one on each line")
    parser.add_argument(
        "--period", type=PATIENCE, default=1.0, metavar="S", help="seconds between two updates (default: 1)"
    )
    server_arguments(parser)


def keygen_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the files are called NAME.key (public) and NAME.key_secret")
    parser.add_argument("--folder", default=".", help="where to write them (default: the current folder)")


def _frame_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "payload",
        nargs="?",
        metavar="PAYLOAD",
        help="JSON; read from stdin if it is left out or -; '' for a frame without a payload",
    )
    parser.add_argument("--event", default="", metavar="NAME", help="the frame's event")
    parser.add_argument("--id", default="", help="the frame's id")
    parser.add_argument("--text", action="store_true", help="the payload is text, not JSON")
    server_arguments(parser)


def read_frame(options: Any) -> Frame:
    """The frame that the arguments of `send` and `broadcast` describe; stdin is read where its payload is. Raises
    WrongUseError."""
    text = options.payload
    if text is None or text == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise WrongUseError("the payload is missing: give JSON as an argument or on stdin")
        text = sys.stdin.read()
        if not text:
            raise WrongUseError("the payload is missing: stdin is empty; give '' as the payload to send none")
    if options.text:
        return Frame(options.event, text, options.id)
    if not text.strip():
        return Frame(options.event, id=options.id)
    try:
        msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise WrongUseError(f"the payload is not JSON: {error} (--text sends it as a string)") from None
    return Frame(options.event, msgspec.Raw(text.strip().encode()), options.id)
