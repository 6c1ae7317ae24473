"""`check`: settings and application looked at as a start would, and told in text.

Called by `cli` for `--check`. It opens no port, makes no folder, takes no lock and runs no `on_start`; what only those can find
(a port that is taken, a database that is away) `wspulse doctor` and the start tell.
"""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from wspulse.supervisor.check.loading import Loaded, Refused, load
from wspulse.supervisor.cluster.needs import check_installed
from wspulse.supervisor.control.endpoint import check_reach
from wspulse.supervisor.control.plane import load_keys
from wspulse.supervisor.errors import StartError, UsageError
from wspulse.supervisor.host.descriptor_limit import check_descriptors
from wspulse.supervisor.premises.listeners.listen_socket import address_text
from wspulse.supervisor.premises.listeners.opening import DEFAULT_HOST
from wspulse.supervisor.process.watching.end_watch import exit_sentence
from wspulse.supervisor.settings.cluster_address import shown_nats_url
from wspulse.supervisor.settings.kinds import Seconds
from wspulse.supervisor.settings.layers import Settings
from wspulse.supervisor.settings.table import TABLE, Setting
from wspulse.supervisor.source_files.watch import load_watcher
from wspulse.supervisor.tls.certificates.certificate import Certificate

__all__ = ["check"]

_spawn = multiprocessing.get_context("spawn")


def check(settings: Settings) -> str:
    """What would run. Raises UsageError for what a start with these settings would end with."""
    try:
        check_descriptors(settings.workers)
        check_reach(settings.control, has_keys=load_keys(settings) is not None)
        if settings.reload:
            load_watcher()
        if settings.cluster is not None:
            check_installed(has_credentials=settings.cluster_credentials is not None)
        if settings.tls_cert is not None and settings.tls_key is not None:
            certificate = Certificate(settings.tls_cert, settings.tls_key)
            certificate.valid_until(certificate.read())
    except StartError as error:
        raise UsageError(str(error).removeprefix("wspulse: ")) from None
    return _report(settings, _load(settings))


def _load(settings: Settings) -> Loaded:
    ours, theirs = _spawn.Pipe(duplex=False)
    with ours:
        process = _spawn.Process(target=load, args=(theirs, settings.app, settings.overrides), daemon=False)
        process.start()
        theirs.close()
        try:
            if not ours.poll(settings.give_up_after):
                raise UsageError(f"{settings.app} was not loaded within {settings.give_up_after:g} s (--give-up-after)")
            found: Loaded | Refused = ours.recv()
        except EOFError:
            process.join()
            raise UsageError(f"the process that loaded {settings.app} {exit_sentence(process.exitcode or 0)}") from None
        finally:
            process.kill()
            process.join()
            process.close()
    if isinstance(found, Loaded):
        return found
    if found.is_usage:
        raise UsageError(settings.with_source(found.text).removeprefix("wspulse: "))
    raise UsageError(f"{settings.app} cannot be loaded:\n{found.text.rstrip()}")


def _report(settings: Settings, loaded: Loaded) -> str:
    file = f" ({_shown_path(loaded.file)})" if loaded.file else ""
    workers = settings.named.get("workers", "the cores available to this process")
    lines = [
        "wspulse: this server would run",
        "",
        f"  application  {settings.app}{file}",
        f"  on           {', '.join(_places(settings))}",
        f"  workers      {settings.workers} ({workers})",
        f"  control      {settings.control or 'a socket in the runtime directory'}",
        "",
    ]
    rows = list(_rows(settings, loaded))
    if rows:
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        lines += ["settings that differ from their defaults, and where they come from:", ""]
        lines += [f"  {name:{widths[0]}}  {value:{widths[1]}}  {source}" for name, value, source in rows]
        lines.append("")
    if settings.unknown_variables:
        lines += [f"unknown WSPULSE_* variables: {', '.join(settings.unknown_variables)}", ""]
    return "\n".join([*lines, "Nothing was started: no port was opened and on_start did not run."])


def _places(settings: Settings) -> list[str]:
    """Where it would listen; what systemd gives to a server that it starts is not known here."""
    hosts = settings.host
    if not hosts:
        hosts = [] if settings.unix_socket is not None or settings.fd is not None else [DEFAULT_HOST]
    scheme = "ws" if settings.tls_cert is None else "wss"
    places = [f"{scheme}://{address_text(host.strip('[]'), settings.port)}{settings.path}" for host in hosts]
    if settings.unix_socket is not None:
        places.append(f"unix:{settings.unix_socket}:{settings.path}")
    if settings.fd is not None:
        places.append(f"descriptor {settings.fd}, {settings.path}")
    return places


def _rows(settings: Settings, loaded: Loaded) -> list[tuple[str, str, str]]:
    """Of the settings that somebody named, and of the options that are not the defaults: name, value, source."""
    named = settings.named
    ours = [setting for setting in TABLE if not setting.option and setting.name != "config" and setting.name in named]
    rows = [(setting.name, _value_text(setting, settings), named[setting.name]) for setting in ours]
    names = {"check_origin": "allow_origin"} | {setting.option: setting.name for setting in TABLE if setting.option}
    for option, value in loaded.options.items():
        name = names.get(option, option)
        if name not in named:
            rows.append((option, value, "the application"))
        elif option in ("check_origin", "http_app", "codec"):  # objects, of which the name is more use
            rows.append((name, _listed(settings.overrides[names[option]]), named[name]))
        else:
            rows.append((name, value, named[name]))
    return rows


def _value_text(setting: Setting, settings: Settings) -> str:
    value = getattr(settings, setting.name)
    if setting.name == "cluster":
        return _listed([shown_nats_url(url) for url in value])
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g} s" if isinstance(setting.kind, Seconds) else _listed(value)


def _listed(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _shown_path(path: str) -> str:
    """Shorter where it is in the current folder."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path
