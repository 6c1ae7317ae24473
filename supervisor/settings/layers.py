"""The layers that fill the table of settings: what flags, variables and the file come to.

Flags beat `WSPULSE_*` variables, which beat the TOML file, which beats the application's own options: those of the
settings marked as server options are passed on to the workers only where one of the layers named them. Read once by
`cli`; nothing here imports the application.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wspulse.actors.values.log_limit import shortened
from wspulse.supervisor.errors import SettingError
from wspulse.supervisor.host.cores import usable_cores
from wspulse.supervisor.host.small_file import read_small_file
from wspulse.supervisor.settings.admin_address import check_admin
from wspulse.supervisor.settings.kinds import WorkerCount
from wspulse.supervisor.settings.table import TABLE, VARIABLE_PREFIX, Setting

__all__ = ["Settings", "resolve", "resolve_named"]


_PARTNERS = {"pong_wait": "ping_period", "on_duplicate": "resume_window"}
"""By an option that workers refuse: the one that it may not go together with, and that is to blame where it alone was named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the layers came to."""

    workers: int
    app: str
    host: list[str] | None = None
    """None: 127.0.0.1, unless the server listens elsewhere."""
    port: int
    unix_socket: str | None = None
    fd: int | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_terminators: int = 1
    proxy_headers: bool = False
    proxy_protocol: bool = False
    trusted_proxy: list[str] | None = None
    """Addresses and networks."""
    path: str
    stall_timeout: float
    shutdown_timeout: float
    give_up_after: float
    handover_timeout: float = 10.0
    drain_delay: float = 0.0
    drain_spread: float = 0.0
    max_memory: int = 0
    log_level: str
    log_format: str
    reload: list[str] | None = None
    """Folders and files whose changes reload."""
    cluster: list[str] | None = None
    """URLs of NATS servers."""
    cluster_name: str = "wspulse"
    cluster_replicas: int | None = None
    cluster_credentials: str | None = None
    cluster_timeout: float = 10.0
    cluster_wait: bool = False
    host_id: str | None = None
    control: str | None = None
    control_server_key: str | None = None
    control_client_keys: str | None = None
    admin: str | None = None
    admin_token_file: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    """Server option → value, of those that a layer named; plain values, `codec` and `allow_origin` as given."""
    sources: dict[str, str] = field(default_factory=dict)
    """Server option → where its value came from, for what a worker has to say against it."""
    named: dict[str, str] = field(default_factory=dict)
    """Setting → where its value came from, of those that a layer named."""
    unknown_variables: tuple[str, ...] = ()
    """Variables that look like settings and are none: worth a warning, since they may belong to something else."""

    def with_source(self, text: str) -> str:
        """A worker's "wspulse: <option>: ..." with the option's name replaced by where its value came from."""
        option, colon, problem = text.removeprefix("wspulse: ").partition(": ")
        if source := self.sources.get(option):
            return f"wspulse: {source}{colon}{problem}"
        blamed = self.sources.get(_PARTNERS.get(option, ""))
        return f"wspulse: {blamed} does not go with {option}: {problem}" if blamed else text

    def yields(self, name: str) -> bool:
        """Whether an address of the server may be another server's: `--port 0` starts one beside it, and the address is not given
        on the command line too."""
        return self.port == 0 and self.named.get("port") == "--port" and self.named.get(name) != f"--{name}"


def resolve(flags: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """Lay flags over variables over the file over the defaults.

    `flags` has the texts of the flags that were given by their settings' names (a list for `Names`, a bool for
    `Switch`). Raises SettingError for the first value that is wrong.
    """
    variables = {name: text for name, text in environ.items() if name.startswith(VARIABLE_PREFIX)}
    known_variables = {setting.variable for setting in TABLE}
    file_name = flags.get("config") or variables.get(VARIABLE_PREFIX + "CONFIG") or ""
    keys = _read_file(file_name) if file_name else {}
    values: dict[str, Any] = {}
    overrides: dict[str, Any] = {}
    sources: dict[str, str] = {}
    named: dict[str, str] = {}
    for setting in TABLE:
        found = _find(setting, flags, variables, keys, file_name)
        if found is not None:
            named[setting.name] = found[1]
        if setting.name == "config":
            continue
        if setting.option:
            if found is not None:
                overrides[setting.option], sources[setting.option] = found
        else:
            values[setting.name] = setting.default if found is None else found[0]
    if values["workers"] in (None, WorkerCount.AUTO):
        values["workers"] = min(usable_cores(), 1024)
    if values["drain_spread"] and values["drain_spread"] >= values["shutdown_timeout"]:
        limit = f"it must be less than --shutdown-timeout ({values['shutdown_timeout']:g} s)"
        raise SettingError("--drain-spread", f"{values['drain_spread']:g} s is too long; {limit}")
    _check_proxies(values, may_be_given_sockets=values["fd"] is not None or "LISTEN_FDS" in environ)
    _check_tls(values)
    _check_cluster(values, named)
    check_admin(values["admin"], values["admin_token_file"])
    unknown = tuple(sorted(variables.keys() - known_variables))
    return Settings(**values, overrides=overrides, sources=sources, named=named, unknown_variables=unknown)


def resolve_named(names: Collection[str], config: str | None, environ: Mapping[str, str]) -> dict[str, Any]:
    """Those of a few settings that a variable or the file names, as a server that is started with `--config` would have them.
    Nothing else of the file is checked but its names. Raises SettingError."""
    file_name = config or environ.get(VARIABLE_PREFIX + "CONFIG") or ""
    keys = _read_file(file_name) if file_name else {}
    found = {setting.name: _find(setting, {}, environ, keys, file_name) for setting in TABLE if setting.name in names}
    return {name: value_and_source[0] for name, value_and_source in found.items() if value_and_source is not None}


def _check_tls(values: Mapping[str, Any]) -> None:
    for name, other in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        if values[name] is not None and values[other] is None:
            raise SettingError(f"--{name.replace('_', '-')}", f"requires --{other.replace('_', '-')}")
    if values["tls_cert"] is not None and values["proxy_protocol"]:
        raise SettingError(
            "--proxy-protocol",
            "cannot be combined with --tls-cert: let the proxy terminate TLS, or pass TCP on without the header",
        )


def _check_cluster(values: Mapping[str, Any], named: Mapping[str, str]) -> None:
    """Settings of a cluster mean something only where there is one."""
    if values["cluster"] is None:
        for name in named:
            if name.startswith("cluster_") or name == "host_id":
                raise SettingError(named[name], "requires --cluster, the addresses of NATS servers")


def _check_proxies(values: Mapping[str, Any], *, may_be_given_sockets: bool) -> None:
    """What is said of proxies makes sense together; of sockets that are given to the server, which may be Unix ones, it is seen
    when they are there."""
    if values["trusted_proxy"] and not (values["proxy_headers"] or values["proxy_protocol"]):
        raise SettingError("--trusted-proxy", "has no effect without --proxy-headers or --proxy-protocol")
    is_only_unix = (values["unix_socket"] is not None or may_be_given_sockets) and not values["host"]
    for name in ("proxy_headers", "proxy_protocol"):
        if values[name] and not values["trusted_proxy"] and not is_only_unix:
            flag = "--" + name.replace("_", "-")
            raise SettingError(
                flag, "no proxy is trusted; name them with --trusted-proxy, such as 127.0.0.1 or 10.0.0.0/8"
            )


def _find(
    setting: Setting, flags: Mapping[str, Any], variables: Mapping[str, str], keys: Mapping[str, Any], file_name: str
) -> tuple[Any, str] | None:
    """The value in the highest layer that has one, and where it came from. An empty variable is one that is not set."""
    source = ""
    try:
        if (given := flags.get(setting.name)) is not None:
            source = setting.flag
            read = setting.kind.from_text if isinstance(given, str) else setting.kind.from_toml
            return read(given), source
        if text := variables.get(setting.variable):
            source = setting.variable
            return setting.kind.from_text(text), source
        if setting.name in keys:
            source = f"{file_name}: {setting.name}"
            return setting.kind.from_toml(keys[setting.name]), source
    except ValueError as error:
        raise SettingError(source, str(error)) from None
    return None


def _read_file(file_name: str) -> dict[str, Any]:
    try:
        keys = tomllib.loads(read_small_file(Path(file_name)).decode())
    except OSError as error:
        raise SettingError(file_name, f"cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is one; thousands of digits are none
        raise SettingError(file_name, f"is not TOML: {' '.join(str(error).split())}") from None
    known = {setting.name for setting in TABLE} - {"config"}
    found: dict[str, Any] = {}
    for key, value in keys.items():
        name = key.replace("-", "_")
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"allowed: {', '.join(sorted(known))}"
            raise SettingError(file_name, f"unknown key {shortened(key)!r}; {hint}")
        found[name] = value
    return found
