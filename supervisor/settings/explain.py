"""`--explain OPTION`: an option's meaning, unit, range, default and the reason for its default.

Server options are explained by the table that the documents are made of (`wspulse.actors.values.options.table`), the
supervisor's own by the one here.
"""

from __future__ import annotations

import difflib
from typing import NamedTuple

from wspulse.actors.values.options.table import OPTION_TABLE, OptionRow
from wspulse.supervisor.errors import SettingError
from wspulse.supervisor.settings.kinds import Choice, Integer, Kind, Names, Seconds, Switch
from wspulse.supervisor.settings.table import TABLE, Setting

__all__ = ["REASONS", "explain", "value_text"]


class Reason(NamedTuple):
    """Of a setting that is no server option. `default` and `allowed` where the table of settings cannot say them."""

    reason: str
    default: str = ""
    allowed: str = ""


REASONS = {
    "workers": Reason(
        "a worker uses one core: more workers than cores compete, fewer leave cores idle; `wspulse scale` changes the number",
        "the cores that CPU affinity and the control group's quota allow this process",
    ),
    "app": Reason(
        "a fresh installation can be tried without writing code",
        allowed="MODULE:ATTR, importable from the current folder, or the name of a built-in application",
    ),
    "config": Reason("flags and variables are enough for most servers", "none", "the path of a TOML file"),
    "reload": Reason(
        "code should change under a running server only while it is being edited; a deployment decides when (`wspulse reload`)",
        "none",
        "single files, and folders, whose Python files are watched except those of virtual environments; without a value, the "
        "current folder",
    ),
    "host": Reason(
        "other machines can connect only once somebody decides so; a proxy on the same machine needs no more",
        "127.0.0.1; none with --unix-socket, --fd or socket activation",
        allowed="any number of names and addresses of this machine",
    ),
    "unix_socket": Reason(
        "for a proxy on the same machine it is cheaper than a port, and only users with access to its folder can connect",
        "none",
        "an absolute path in an existing folder",
    ),
    "fd": Reason(
        "a service manager can open ports that the server's own user may not",
        "none",
        "the number of a listening socket",
    ),
    "tls_cert": Reason(
        "without a proxy in front, the server has to speak TLS itself; Unix sockets never do",
        "none: no TLS",
        "the path of a PEM file",
    ),
    "tls_key": Reason("it belongs to the certificate", "none", "the path of a PEM file without a password"),
    "tls_terminators": Reason("one is enough for two workers or more; add another when `top` shows it constantly busy"),
    "proxy_headers": Reason(
        "any client can send these headers, so they are believed only where a proxy is known to set them"
    ),
    "proxy_protocol": Reason(
        "it is never guessed, because any client could send such a header; the proxy has to be configured to send it"
    ),
    "trusted_proxy": Reason(
        "a trusted proxy can claim to be any client",
        "nobody",
        "addresses and networks, such as 127.0.0.1 and 10.0.0.0/8",
    ),
    "cluster": Reason(
        "one machine needs none; with it, rooms and connection ids span all hosts that use the same NATS servers and name",
        "none: one host",
        "nats://HOST:PORT or tls://HOST:PORT, with user:password@ before the host where needed; any number of them, with commas",
    ),
    "cluster_name": Reason(
        "several clusters can share NATS servers when each has a name of its own",
        allowed="letters, digits, - and _, up to 64",
    ),
    "cluster_replicas": Reason(
        "3 keeps every acknowledged broadcast when one of three servers is lost; all hosts need the same, so the first chooses",
        "what the cluster has; at first 3, or 1 with fewer NATS servers",
    ),
    "cluster_credentials": Reason(
        "NATS servers without users need none; a user and password can stand in the URL", "none", "the path of a file"
    ),
    "cluster_timeout": Reason("a mistyped address should be seen at once, and a service manager tries again"),
    "host_id": Reason(
        "it tells hosts apart for people, and must stay the same over restarts", "HOSTNAME:PORT", "any text"
    ),
    "cluster_wait": Reason("a server that never becomes ready is harder to notice than one that exits"),
    "port": Reason("it needs no privileges, and is what people try first"),
    "path": Reason(
        "it leaves / to pages, and a proxy can route by it",
        allowed="a URL path that begins with /, without a query; not /healthz",
    ),
    "allow_origin": Reason(
        "only browsers send an origin; name yours if cookies identify your users",
        "all",
        "scheme://host[:port], as browsers send it",
    ),
    "stall_timeout": Reason(
        "it is longer than any pause of a healthy event loop, garbage collection and a slow import in a handler included, and "
        "shorter than people are willing to wait"
    ),
    "shutdown_timeout": Reason(
        "clients answer a close frame within 3 s; the rest is for the application to finish. Service managers wait longer"
    ),
    "give_up_after": Reason(
        "a database restarts in less time, and a service manager should see failures that last. A server with at least one ready "
        "worker never gives up; the start counts too, so give an application that loads slowly more time"
    ),
    "handover_timeout": Reason(
        "it is longer than a handler waits for a database, and shorter than a deployment may last; clients whose handlers take "
        "longer are closed and reconnect at once"
    ),
    "drain_delay": Reason(
        "without a load balancer nobody asks; with one, it must exceed the time that the load balancer takes to remove a server",
    ),
    "max_memory": Reason(
        "only the operator knows what else runs on the machine; 80 % of the container's or the unit's limit is a good value",
    ),
    "drain_spread": Reason(
        "clients that are closed together reconnect together; that is fine for a few thousand, more should be spread out",
    ),
    "control": Reason(
        "a socket in a folder that only this user can enter needs no keys",
        "a socket in the runtime directory",
        "ipc://PATH in a folder of this user, or tcp://ADDRESS:PORT; addresses other than loopback need keys",
    ),
    "control_server_key": Reason(
        "a socket file is protected by its folder, TCP is not", "none", "the path of a NAME.key_secret"
    ),
    "control_client_keys": Reason(
        "clients that may send frames and stop the server must be named explicitly",
        "none",
        "the path of a NAME.key, or of a folder of them",
    ),
    "admin": Reason(
        "it takes a process, and shows the connections to everyone who can reach it",
        "none",
        "an address and a port, such as 127.0.0.1:9000 or [::1]:9000; port 0: any free port; addresses other than loopback need "
        "--admin-token-file",
    ),
    "admin_token_file": Reason(
        "without it, everyone who can reach the page could close every connection",
        "none",
        "the path of a file with one line of 16 to 256 characters",
    ),
    "log_level": Reason(
        "it shows lifecycle events and what needs attention; debug adds every connection, refusal and end"
    ),
    "log_format": Reason("people read it first; log collectors want json"),
}

_PLAIN = {"subprotocols": "subprotocol", "check_origin": "allow_origin"}
"""Options whose flag has another name."""


def explain(name: str) -> str:
    """The text for one option, named as flag, as variable, as key or as keyword; "all" for every one.

    Raises SettingError for a name that is none, with the nearest that is.
    """
    plain = name.lstrip("-").replace("-", "_").lower().removeprefix("wspulse_").removeprefix("no_")
    if plain == "all":
        names = [setting.name for setting in TABLE]
        has_flag = {setting.option for setting in TABLE} | _PLAIN.keys()
        names += [row.name for row in OPTION_TABLE if row.name not in has_flag]
        return "\n\n".join(_explain(each) for each in names)
    return _explain(plain, asked=name)


def _explain(name: str, asked: str = "") -> str:
    settings = {setting.name: setting for setting in TABLE}
    options = {row.name: row for row in OPTION_TABLE}
    setting = settings.get(name) or settings.get(_PLAIN.get(name, ""))
    option = options.get(setting.option) if setting is not None else options.get(name)
    if setting is not None:
        return _block(setting.flag, _setting_lines(setting, option))
    if option is not None:
        return _block(f"Server({option.name}=...)", _option_lines(option))
    known = sorted({*settings, *options})
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"options are {', '.join(known)}"
    raise SettingError("--explain", f"{asked!r} is not an option; {hint}")


def _setting_lines(setting: Setting, option: OptionRow | None) -> list[tuple[str, str]]:
    own = REASONS.get(setting.name, Reason(""))
    where = [setting.variable + "=..."]
    if setting.name != "config":
        where.append(f"{setting.name} = ... in the TOML file")
    if option is not None:
        where.append(f"Server({option.name}=...) in the application")
        default = f"the application's own; {option.default} if it sets none"
    else:
        default = own.default or value_text(setting.default)
    return [
        ("meaning", option.meaning if option is not None else setting.help.partition("; default:")[0]),
        *([("unit", unit)] if (unit := _unit(setting.kind)) else []),
        ("allowed", own.allowed or _allowed(setting.kind)),
        ("default", default),
        ("reason", own.reason or (option.reason if option is not None else "")),
        ("also", ", ".join(where)),
    ]


def _option_lines(option: OptionRow) -> list[tuple[str, str]]:
    return [
        ("meaning", option.meaning),
        ("allowed", option.allowed),
        ("default", option.default),
        ("reason", option.reason),
        ("also", "no flag: only the application's code can set it"),
    ]


def _block(title: str, lines: list[tuple[str, str]]) -> str:
    return "\n".join([title, *(f"  {label:8} {text}" for label, text in lines)])


def _unit(kind: Kind) -> str:
    match kind:
        case Seconds():
            return "seconds"
        case Integer():
            return kind.unit
        case _:
            return ""


def _allowed(kind: Kind) -> str:
    match kind:
        case Seconds() | Integer():
            return kind.allowed.removeprefix("allowed: ")
        case Choice():
            return ", ".join(kind.names)
        case Switch():
            return "the flag, or the flag with --no- before its name; true or false in variables and the file"
        case Names():
            return f"any number of {kind.metavar}: a repeated flag, a variable with commas, or an array in the file"
        case _:
            return kind.metavar


def value_text(value: object) -> str:
    """A default, for people."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
