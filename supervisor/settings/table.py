"""The settings of a server process: one table of their names, kinds, defaults and the server options that they set.

The command line's flags are made from it, `layers` fills it, `explain` tells of it. Nothing here reads anything or imports
the application.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from wspulse.actors.accept.origins import parse_origin
from wspulse.actors.accept.proxies.trust import parse_network
from wspulse.actors.values.options.kinds import Count, Duration, OneOf, Truth
from wspulse.actors.values.options.server_options import OPTION_KINDS, TOKEN
from wspulse.actors.values.options.table import OPTION_TABLE
from wspulse.supervisor.protocol.endpoint import check_endpoint
from wspulse.supervisor.settings.admin_address import check_admin_address
from wspulse.supervisor.settings.cluster_address import check_cluster_name, check_host_id, check_nats_url
from wspulse.supervisor.settings.kinds import (
    Addresses,
    Choice,
    Folders,
    Hosts,
    Integer,
    Kind,
    Names,
    Seconds,
    Switch,
    Text,
    WorkerCount,
)

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
        raise ValueError(f"{text!r} names a file; give its module: {module.removesuffix('.py')}:{attribute}")
    return text


def _http_application(text: str) -> str:
    if ":" not in text:
        raise ValueError(f"{text!r} is not MODULE:ATTR, such as web:app for the object app in web.py")
    return _application(text)


def _path(text: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9\-._~!$&'()*+,;=:@%/]*", text):
        raise ValueError(f"{text!r} is not a path; a path begins with / and has no query")
    if text == "/healthz":
        raise ValueError("'/healthz' is reserved for health checks")
    return text


def _host(text: str) -> str:
    host = text.removeprefix("[").removesuffix("]")
    if not host or re.search(r"[\s/]", host):
        raise ValueError(f"{text!r} is not a host; give a name or an address, or 0.0.0.0 or :: for all interfaces")
    return host


def _socket_path(text: str) -> str:
    if not text.startswith("/") or text.endswith("/"):
        raise ValueError(f"{text!r} is not an absolute path of a file, such as /run/chat/wspulse.sock")
    return text


def _network(text: str) -> str:
    return str(parse_network(text))


def _token(text: str) -> str:
    if not TOKEN.fullmatch(text):
        raise ValueError(f"{text!r} is not a token; allowed: letters, digits and !#$%&'*+-.^_`|~")
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


_OPTIONS = {row.name: row for row in OPTION_TABLE}


def _server_option(option: str, group: str, kind: Kind | None = None, *, name: str = "", sets: str = "") -> Setting:
    """The setting of a server option, of the option's own kind and under its name, unless text is to be read or named
    otherwise. `sets` is what the workers are told, where they make the option of it."""
    return Setting(name or option, group, kind or _kind(option), _OPTIONS[option].help, option=sets or option)


def _kind(option: str) -> Kind:
    """How text becomes a value of a server option, in its range: a wrong one is told with its source before any worker
    runs."""
    match OPTION_KINDS[option]:
        case Duration(low=low, high=high, above=above):
            return Seconds(low, high, above=above)
        case Count(low=low, high=high, unit=unit):
            return Integer(low, high, unit, metavar="BYTES" if unit == "bytes" else "N")
        case OneOf(names=names):
            return Choice(*names)
        case Truth():
            return Switch()
        case kind:
            raise TypeError(f"the option {option} needs a kind of its own here: text cannot mean {kind.allowed}")


RUN = "what to run"
LISTEN = "where to listen"
CONNECTIONS = "connections (these override the application's own options)"
SUPERVISION = "supervision"
CLUSTER = "several hosts"
CONTROL = "control from outside"
LOGS = "logs"
GROUPS = (RUN, LISTEN, CONNECTIONS, SUPERVISION, CLUSTER, CONTROL, LOGS)

TABLE = (
    Setting(
        "workers",
        RUN,
        WorkerCount(1, 1024),
        "number of worker processes; auto: one per available core; default: auto",
    ),
    Setting(
        "app", RUN, Text("APP", _application), "MODULE:ATTR, or a built-in application: relay, echo, bridge", "relay"
    ),
    _server_option("http_app", RUN, Text("MODULE:ATTR", _http_application)),
    _server_option("client", RUN),
    _server_option("index", RUN),
    Setting("config", RUN, Text("FILE"), "a TOML file with settings, named like the flags: max_message_size = 65536"),
    Setting(
        "reload",
        RUN,
        Folders(),
        "for development: reload when Python files in this folder change (default: the current one); needs wspulse[reload]",
    ),
    Setting(
        "host",
        LISTEN,
        Hosts("HOST", _host),
        "an address to listen on; 0.0.0.0 for all IPv4 addresses, :: for IPv6 too; default: 127.0.0.1, or none with "
        "--unix-socket or --fd",
    ),
    Setting("port", LISTEN, Integer(0, 65535, metavar="PORT"), "the port to listen on; 0: any free port", 8000),
    Setting(
        "unix_socket", LISTEN, Text("PATH", _socket_path), "a Unix socket to listen on, for a proxy on this machine"
    ),
    Setting(
        "fd",
        LISTEN,
        Integer(0, 1 << 20),
        "an inherited descriptor that already listens; those of systemd's socket activation are found without this option",
    ),
    Setting(
        "tls_cert",
        LISTEN,
        Text("FILE"),
        "speak TLS, with this certificate and its chain (PEM); read again at each reload",
    ),
    Setting("tls_key", LISTEN, Text("FILE"), "the certificate's private key (PEM)"),
    Setting("tls_terminators", LISTEN, Integer(1, 64), "number of TLS processes, in addition to the workers", 1),
    Setting(
        "proxy_headers",
        LISTEN,
        Switch(),
        "take the client's address and scheme from X-Forwarded-For and -Proto, or Forwarded, when sent by a trusted proxy",
        False,
    ),
    Setting(
        "proxy_protocol",
        LISTEN,
        Switch(),
        "expect a PROXY protocol header, version 1 or 2, at the start of each connection; only trusted proxies may send it",
        False,
    ),
    Setting(
        "trusted_proxy",
        LISTEN,
        Names("CIDR", _network),
        "the address or network of a proxy to trust; connections over a Unix socket are trusted anyway",
    ),
    Setting("path", LISTEN, Text("PATH", _path), "the path of the WebSocket endpoint", "/ws"),
    _server_option("resume_window", CONNECTIONS),
    _server_option("suspend_on_clean_close", CONNECTIONS),
    _server_option("on_duplicate", CONNECTIONS),
    _server_option("ping_period", CONNECTIONS),
    _server_option("pong_wait", CONNECTIONS),
    _server_option("write_wait", CONNECTIONS),
    _server_option("max_message_size", CONNECTIONS),
    _server_option("send_buffer_size", CONNECTIONS),
    _server_option("send_buffer_bytes", CONNECTIONS),
    _server_option("max_rooms_per_connection", CONNECTIONS),
    _server_option("max_connections", CONNECTIONS),
    _server_option("max_connections_per_address", CONNECTIONS),
    _server_option("accept_rate", CONNECTIONS),
    _server_option("max_frames_per_second", CONNECTIONS),
    _server_option("max_bytes_per_second", CONNECTIONS),
    _server_option("compression", CONNECTIONS, Choice("deflate")),
    _server_option("codec", CONNECTIONS, Choice("json", "msgpack", "raw")),
    _server_option("handshake_timeout", CONNECTIONS),
    _server_option("slow_handler", CONNECTIONS),
    _server_option("handler_timeout", CONNECTIONS),
    _server_option("cancel_on_disconnect", CONNECTIONS),
    _server_option("subprotocols", CONNECTIONS, Names("NAME", _token), name="subprotocol"),
    _server_option(
        "check_origin", CONNECTIONS, Names("ORIGIN", parse_origin), name="allow_origin", sets="allow_origin"
    ),
    Setting(
        "stall_timeout",
        SUPERVISION,
        Seconds(0.5, 3600),
        "how long a worker's event loop may be stuck before the worker is killed",
        30.0,
    ),
    Setting(
        "shutdown_timeout",
        SUPERVISION,
        Seconds(0, 3600, above=True),
        "how long sessions may take to end at shutdown",
        10.0,
    ),
    Setting(
        "give_up_after",
        SUPERVISION,
        Seconds(1, 3600),
        "exit with code 1 when no worker has been ready for this long",
        60.0,
    ),
    Setting(
        "handover_timeout",
        SUPERVISION,
        Seconds(0, 300),
        "how long a session that is about to move waits for its running handler; then it is closed with 1012",
        10.0,
    ),
    Setting(
        "drain_delay",
        SUPERVISION,
        Seconds(0, 300),
        "how long to keep serving at shutdown while the health check already answers 503",
        0.0,
    ),
    Setting(
        "drain_spread",
        SUPERVISION,
        Seconds(0, 300),
        "spread the closing of sessions, at shutdown or because they cannot move, over this long",
        0.0,
    ),
    Setting(
        "max_memory",
        SUPERVISION,
        Integer(0, 1 << 50, "bytes", metavar="BYTES"),
        "refuse new connections with 503 while all workers together use more memory than this; 0: off",
        0,
    ),
    Setting(
        "cluster",
        CLUSTER,
        Addresses("URL", check_nats_url),
        "join the other hosts of a cluster over these NATS servers, nats://HOST:PORT or tls://HOST:PORT; needs wspulse[cluster]",
    ),
    Setting(
        "cluster_name",
        CLUSTER,
        Text("NAME", check_cluster_name),
        "the cluster's name: hosts that give the same one are one server",
        "wspulse",
    ),
    Setting(
        "cluster_replicas",
        CLUSTER,
        Integer(1, 5),
        "how many NATS servers keep each message: 1, or 3 to survive the loss of one; default: what the cluster has, at first "
        "3 if there are as many servers, else 1",
    ),
    Setting("cluster_credentials", CLUSTER, Text("FILE"), "the credentials file of a NATS user, as nsc makes it"),
    Setting(
        "cluster_timeout",
        CLUSTER,
        Seconds(0, 3600, above=True),
        "exit with code 1 when NATS cannot be reached for this long at the start",
        10.0,
    ),
    Setting(
        "host_id",
        CLUSTER,
        Text("NAME", check_host_id),
        "this host's name in the cluster; default: its own and the port",
    ),
    Setting("cluster_wait", CLUSTER, Switch(), "wait for NATS at the start for as long as it takes", False),
    Setting(
        "control",
        CONTROL,
        Text("ENDPOINT", check_endpoint),
        "the control socket: ipc://PATH or tcp://ADDRESS:PORT (events are at PORT + 1); default: a socket in the runtime "
        "directory",
    ),
    Setting(
        "control_server_key",
        CONTROL,
        Text("FILE"),
        "this server's CURVE keys (NAME.key_secret, made by wspulse keygen)",
    ),
    Setting(
        "control_client_keys",
        CONTROL,
        Text("PATH"),
        "public keys of the clients that may control the server: a NAME.key file, or a folder of them",
    ),
    Setting(
        "admin",
        CONTROL,
        Text("HOST:PORT", check_admin_address),
        "the address of the operator's page, /metrics, /live and /ready; needs wspulse[admin]; default: off",
    ),
    Setting(
        "admin_token_file",
        CONTROL,
        Text("FILE"),
        "a file with the token that is needed to change anything on the operator's page; without it the page is read-only",
    ),
    Setting(
        "log_level", LOGS, Choice("debug", "info", "warning", "error", "critical"), "the lowest level to log", "info"
    ),
    _server_option("access_log", LOGS),
    Setting("log_format", LOGS, Choice("text", "json"), "text for people, or one JSON object per line", "text"),
)
