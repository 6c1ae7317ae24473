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

__all__ = ["REASONS", "explain"]


class Reason(NamedTuple):
    """Of a setting that is no server option. `default` and `allowed` where the table of settings cannot say them."""

    reason: str
    default: str = ""
    allowed: str = ""


REASONS = {
    "workers": Reason(
        "a worker keeps one core busy; more of them only share it, fewer leave cores idle; `wspulse scale` changes it",
        "the cores that affinity and the control group's quota leave to this process",
    ),
    "app": Reason(
        "a server that was just installed can be tried without a line of code",
        allowed="MODULE:ATTR, found from the current folder, or the name of a built-in application",
    ),
    "config": Reason("flags and variables suffice for most", "none", "the path of a TOML file"),
    "reload": Reason(
        "only who edits the application wants it to change while it runs; a deployment says when (`wspulse reload`)",
        "none",
        "folders, in which Python files count but for those of environments, and single files; without one, the current folder",
    ),
    "host": Reason(
        "nobody but this machine can connect until somebody wants it; a proxy on the same machine needs no more",
        "127.0.0.1; none beside --unix-socket, --fd or socket activation",
        allowed="any number of names and addresses of this machine",
    ),
    "unix_socket": Reason(
        "a proxy on the same machine reaches it with less work than a port, and only who may enter its folder can connect",
        "none",
        "an absolute path; the folder must be there",
    ),
    "fd": Reason(
        "a service manager can open a port that the server's own user may not",
        "none",
        "the number of a listening socket",
    ),
    "tls_cert": Reason(
        "without a proxy in front the server has to speak TLS itself; Unix sockets stay without",
        "none: no TLS",
        "the path of a PEM file",
    ),
    "tls_key": Reason("it belongs to the certificate", "none", "the path of a PEM file without a password"),
    "tls_terminators": Reason(
        "one serves as much as two or more workers take; give another one when `top` shows it busy all the time"
    ),
    "proxy_headers": Reason("any client can send such headers: they count only where a proxy is known to set them"),
    "proxy_protocol": Reason(
        "it is never guessed, since any client could begin with such a header; a proxy has to be told to send it"
    ),
    "trusted_proxy": Reason(
        "whoever is trusted can claim to be any client",
        "nobody",
        "addresses and networks, such as 127.0.0.1 and 10.0.0.0/8",
    ),
    "port": Reason("needs no privilege, and is what people try first"),
    "path": Reason(
        "leaves / to pages, and can be told apart by a proxy",
        allowed="/ and what may follow in a URL, without a query; not /healthz",
    ),
    "allow_origin": Reason(
        "clients that are no browsers send no origin; name yours where cookies identify users",
        "all",
        "scheme://host[:port], as browsers send it",
    ),
    "stall_timeout": Reason(
        "longer than any pause that a healthy loop has, garbage collection and a slow import in a handler included; shorter "
        "than people wait"
    ),
    "shutdown_timeout": Reason(
        "clients answer a close frame within 3 s; the rest is for the application's last words. Service managers wait longer"
    ),
    "give_up_after": Reason(
        "a database's restart passes in less, and a service manager that watches the server is to see what does not pass. A "
        "server of which one worker is ready goes on for ever; the start counts too, so give more to an application that "
        "takes longer to load"
    ),
    "handover_timeout": Reason(
        "longer than handlers that wait for a database take, and shorter than a deployment is waited for; who waits for a longer "
        "one comes back at once"
    ),
    "drain_delay": Reason(
        "without a load balancer nobody asks; with one it is to be longer than the time in which that takes a server out",
    ),
    "max_memory": Reason(
        "only the operator knows what else the machine runs; 80 % of what the container or the unit may have is a good mark",
    ),
    "drain_spread": Reason(
        "clients that are closed at once come back at once, which a few thousand may; more are better spread",
    ),
    "control": Reason(
        "a socket in a folder that only this user may enter needs no keys",
        "a socket in the runtime directory",
        "ipc://PATH in a folder of ours, or tcp://ADDRESS:PORT; other than loopback only with keys",
    ),
    "control_server_key": Reason(
        "a socket file is protected by its folder; TCP is not", "none", "the path of a NAME.key_secret"
    ),
    "control_client_keys": Reason(
        "who may send frames and end the server is named, never assumed",
        "none",
        "the path of a NAME.key, or of a folder of them",
    ),
    "admin": Reason(
        "it costs a process, and shows the connections to everybody who can reach it",
        "none",
        "an address and a port, 127.0.0.1:9000 or [::1]:9000; port 0: any that is free; other than loopback only with "
        "--admin-token-file",
    ),
    "admin_token_file": Reason(
        "without it, everybody who can reach the page could end every connection",
        "none",
        "the path of a file with 16 to 256 characters on one line",
    ),
    "log_level": Reason(
        "lifecycles and what somebody should look at; debug tells of every connection, refusal and end"
    ),
    "log_format": Reason("people read it first; collectors want json"),
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
    hint = f"did you mean {close[0]}?" if close else f"there is {', '.join(known)}"
    raise SettingError("--explain", f"{asked!r} is no option; {hint}")


def _setting_lines(setting: Setting, option: OptionRow | None) -> list[tuple[str, str]]:
    own = REASONS.get(setting.name, Reason(""))
    where = [setting.variable + "=..."]
    if setting.name != "config":
        where.append(f"{setting.name} = ... in the TOML file")
    if option is not None:
        where.append(f"Server({option.name}=...) in the application")
        default = f"the application's own; {option.default} where it names none"
    else:
        default = own.default or _value_text(setting.default)
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
        ("also", "no flag: only the application's code can say it"),
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
            return "given, or given with --no- before its name; true or false in variables and the file"
        case Names():
            return f"any number of {kind.metavar}: the flag repeated, a variable with commas, an array in the file"
        case _:
            return kind.metavar


def _value_text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
