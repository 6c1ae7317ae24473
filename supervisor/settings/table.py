"""The settings of a server process: one table of their names, kinds, defaults and the server options that they set.

The command line's flags are made from it, `layers` fills it, `explain` tells of it. Nothing here reads anything or imports
the application.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from wspulse.actors.accept.origins import parse_origin
from wspulse.actors.values.config import ON_DUPLICATE_MODES, TOKEN
from wspulse.supervisor.protocol.endpoint import check_endpoint
from wspulse.supervisor.settings.kinds import Choice, Integer, Kind, Names, Seconds, Switch, Text

__all__ = ["GROUPS", "TABLE", "VARIABLE_PREFIX", "Setting"]

VARIABLE_PREFIX = "WSPULSE_"


def _application(text: str) -> str:
    module, colon, attribute = text.partition(":")
    names = [*module.split("."), *attribute.split(".")] if colon else [text]
    if not all(name.isidentifier() for name in names):
        raise ValueError(
            f"{text!r} is neither MODULE:ATTR (chat:server for the file chat.py) nor a built-in application"
        )
    if module.endswith(".py"):
        raise ValueError(f"{text!r} names a file; name its module: {module.removesuffix('.py')}:{attribute}")
    return text


def _http_application(text: str) -> str:
    if ":" not in text:
        raise ValueError(f"{text!r} is no MODULE:ATTR, such as web:app for the object app in web.py")
    return _application(text)


def _path(text: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9\-._~!$&'()*+,;=:@%/]*", text):
        raise ValueError(f"{text!r} is no path; it begins with / and has no query")
    if text == "/healthz":
        raise ValueError("'/healthz' is taken: it answers health checks")
    return text


def _host(text: str) -> str:
    host = text.removeprefix("[").removesuffix("]")
    if not host or re.search(r"[\s/]", host):
        raise ValueError(f"{text!r} is no host; give a name or an address, 0.0.0.0 or :: for all interfaces")
    return host


def _token(text: str) -> str:
    if not TOKEN.fullmatch(text):
        raise ValueError(f"{text!r} is no token; allowed are letters, digits and !#$%&'*+-.^_`|~")
    return text


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. `option` is the server option that it sets, if any; such a setting has no default here."""

    name: str
    group: str
    kind: Kind
    help: str
    default: Any = None
    option: str = ""

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return VARIABLE_PREFIX + self.name.upper()


RUN = "what is run"
LISTEN = "where it listens"
CONNECTIONS = "connections (they override the application's own options)"
SUPERVISION = "supervision"
CONTROL = "control from outside"
LOGS = "logs"
GROUPS = (RUN, LISTEN, CONNECTIONS, SUPERVISION, CONTROL, LOGS)

TABLE = (
    Setting("workers", RUN, Integer(1, 1024), "worker processes; default: the cores this process may use"),
    Setting(
        "app", RUN, Text("APP", _application), "MODULE:ATTR, or a built-in application: relay, echo, bridge", "relay"
    ),
    Setting(
        "http_app",
        RUN,
        Text("MODULE:ATTR", _http_application),
        "an ASGI application to serve beside the WebSocket, on the same port",
        option="http_app",
    ),
    Setting("config", RUN, Text("FILE"), "a TOML file with settings, named as the flags are: max_message_size = 65536"),
    Setting("host", LISTEN, Text("HOST", _host), "the address to listen on; 0.0.0.0 or :: for all", "127.0.0.1"),
    Setting("port", LISTEN, Integer(0, 65535, metavar="PORT"), "the port to listen on; 0: any that is free", 8000),
    Setting("path", LISTEN, Text("PATH", _path), "the path of the WebSocket endpoint", "/ws"),
    Setting(
        "resume_window",
        CONNECTIONS,
        Seconds(0, 180),
        "how long a lost session waits for its client; 0: it does not",
        option="resume_window",
    ),
    Setting(
        "suspend_on_clean_close",
        CONNECTIONS,
        Switch(),
        "whether a close by the client suspends its session too",
        option="suspend_on_clean_close",
    ),
    Setting(
        "on_duplicate",
        CONNECTIONS,
        Choice(*ON_DUPLICATE_MODES),
        "what a second connection of one id does",
        option="on_duplicate",
    ),
    Setting("ping_period", CONNECTIONS, Seconds(0, 300, above=True), "between two pings", option="ping_period"),
    Setting(
        "pong_wait",
        CONNECTIONS,
        Seconds(0, 600, above=True),
        "without a pong, the connection is dropped after this",
        option="pong_wait",
    ),
    Setting(
        "write_wait",
        CONNECTIONS,
        Seconds(0, 30, above=True),
        "a write without progress ends the connection after this",
        option="write_wait",
    ),
    Setting(
        "max_message_size",
        CONNECTIONS,
        Integer(1, 64 * 1024 * 1024, "bytes", metavar="BYTES"),
        "the largest message that a client may send",
        option="max_message_size",
    ),
    Setting(
        "send_buffer_size",
        CONNECTIONS,
        Integer(1, 4096, "frames"),
        "frames that may wait for one client",
        option="send_buffer_size",
    ),
    Setting("codec", CONNECTIONS, Choice("json", "msgpack", "raw"), "how frames are encoded", option="codec"),
    Setting(
        "handshake_timeout",
        CONNECTIONS,
        Seconds(0, 60, above=True),
        "from the connection to its complete upgrade",
        option="handshake_timeout",
    ),
    Setting(
        "subprotocol",
        CONNECTIONS,
        Names("NAME", _token),
        "a subprotocol that is offered, the best first",
        option="subprotocols",
    ),
    Setting(
        "allow_origin",
        CONNECTIONS,
        Names("ORIGIN", parse_origin),
        "an origin whose pages may connect; default: all",
        option="allow_origin",
    ),
    Setting(
        "stall_timeout", SUPERVISION, Seconds(0.5, 3600), "a worker whose loop is stuck for so long is killed", 30.0
    ),
    Setting(
        "shutdown_timeout", SUPERVISION, Seconds(0, 3600, above=True), "how long sessions have to end at shutdown", 10.0
    ),
    Setting(
        "control",
        CONTROL,
        Text("ENDPOINT", check_endpoint),
        "where it is controlled: ipc://PATH or tcp://ADDRESS:PORT (the events are at PORT + 1); default: a socket in the "
        "runtime directory",
    ),
    Setting(
        "control_server_key", CONTROL, Text("FILE"), "this server's CURVE keys (NAME.key_secret of wspulse keygen)"
    ),
    Setting(
        "control_client_keys",
        CONTROL,
        Text("PATH"),
        "public keys of the clients that may control it: a file or a folder of NAME.key",
    ),
    Setting(
        "log_level", LOGS, Choice("debug", "info", "warning", "error", "critical"), "the least that is logged", "info"
    ),
    Setting("log_format", LOGS, Choice("text", "json"), "lines for people or one JSON object per line", "text"),
)
