"""`wspulse doctor`: can this machine run the server of these settings and hold so many connections, and what is to be changed
where it cannot?

What is found decides `examination`; here are the arguments, and how it is printed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from wspulse.supervisor.commands.doctor.examination import Finding, Plan, examine
from wspulse.supervisor.commands.doctor.machine import Machine, read_machine
from wspulse.supervisor.commands.parser import CommandParser, UnparsableError, argument_of
from wspulse.supervisor.commands.table import counted
from wspulse.supervisor.commands.terminal import exit_code_of, print_error, print_text
from wspulse.supervisor.control.endpoint import check_reach
from wspulse.supervisor.control.plane import load_keys
from wspulse.supervisor.errors import StartError
from wspulse.supervisor.premises.listeners.opening import DEFAULT_HOST
from wspulse.supervisor.settings.kinds import Integer
from wspulse.supervisor.settings.layers import Settings, resolve
from wspulse.supervisor.tls.certificates.certificate import Certificate

__all__ = ["doctor"]

_COUNT = argument_of(Integer(1, 100_000_000))

SETTINGS = ("config", "workers", "host", "port", "cluster")
"""Arguments that are read as the server's."""

_CONNECTIONS = 10_000


def doctor(argv: Sequence[str]) -> int:
    """`wspulse doctor ...`. Returns 0 when nothing must change, 1 when something must, 2 for wrong arguments or settings."""
    return exit_code_of(lambda: _doctor(argv))


def _doctor(argv: Sequence[str]) -> int:
    parser = CommandParser(
        prog="wspulse doctor",
        description="Check whether this machine can run a server and hold a number of connections. The exit code is 1 if "
        "something must change. Settings are read as the server reads them, WSPULSE_* variables included; the application is not "
        "loaded.",
    )
    parser.add_argument(
        "--connections",
        type=_COUNT,
        metavar="N",
        help=f"the number of connections (default: --max-connections if the settings have it, else {_CONNECTIONS})",
    )
    parser.add_argument("--config", metavar="FILE", help="the TOML file of the server's settings")
    parser.add_argument("--workers", metavar="N", help="worker processes (default: the available cores)")
    parser.add_argument(
        "--host", action="append", help=f"the address to listen on (default: {DEFAULT_HOST}); may be repeated"
    )
    parser.add_argument("--port", help="the port to listen on (default: 8000)")
    parser.add_argument("--cluster", action="append", metavar="URL", help="the NATS servers of several hosts")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    try:
        arguments = parser.parse_whole(argv)
        settings = resolve({name: getattr(arguments, name) for name in SETTINGS}, os.environ)
    except UnparsableError as error:
        print_error(f"wspulse: {error} (see {parser.prog} --help)")
        return 2
    except StartError as error:
        print_error(str(error))
        return 2
    plan = _plan(arguments.connections or settings.overrides.get("max_connections") or _CONNECTIONS, settings)
    machine = read_machine(
        plan.hosts, plan.port, unix_socket=plan.unix_socket, control_problem=_control_problem(settings)
    )
    machine = _with_certificate(machine, settings)
    findings = examine(machine, plan)
    if settings.unknown_variables:
        text = f"unknown WSPULSE_* variables: {', '.join(settings.unknown_variables)}"
        findings.append(Finding("settings", "advice", text, "check the spelling (wspulse serve --explain all)"))
    is_fine = all(finding.level != "change" for finding in findings)
    if arguments.json:
        report = {"fine": is_fine, "plan": _plan_fields(plan), "findings": [asdict(finding) for finding in findings]}
        print_text(json.dumps(report, ensure_ascii=False, indent=2))
    else:
        print_text(_text(plan, findings))
    return 0 if is_fine else 1


def _plan(connections: int, settings: Settings) -> Plan:
    hosts = settings.host
    if not hosts:
        hosts = [] if settings.unix_socket is not None or settings.fd is not None else [DEFAULT_HOST]
    extras = {}
    if "http_app" in settings.overrides:
        extras["http"] = "--http-app"
    if settings.cluster is not None:
        extras["cluster"] = "--cluster"
    if settings.reload:
        extras["reload"] = "--reload"
    return Plan(connections, settings.workers, tuple(hosts), settings.port, settings.unix_socket, extras)


def _control_problem(settings: Settings) -> str | None:
    try:
        check_reach(settings.control, has_keys=load_keys(settings) is not None)
    except StartError as error:
        return str(error).removeprefix("wspulse: ")
    return None


def _with_certificate(machine: Machine, settings: Settings) -> Machine:
    if settings.tls_cert is None or settings.tls_key is None:
        return machine
    certificate = Certificate(settings.tls_cert, settings.tls_key)
    try:
        until = certificate.valid_until(certificate.read())
    except StartError as error:
        return replace(machine, certificate_problem=str(error).removeprefix("wspulse: "))
    return replace(machine, certificate_days=(until - datetime.now(UTC)).days)


def _plan_fields(plan: Plan) -> dict[str, Any]:
    """For programs."""
    return {
        "connections": plan.connections,
        "workers": plan.workers,
        "host": plan.hosts[0] if plan.hosts else None,
        "hosts": list(plan.hosts),
        "port": plan.port,
        "unix_socket": plan.unix_socket,
    }


def _text(plan: Plan, findings: list[Finding]) -> str:
    width = max(len(finding.name) for finding in findings)
    lines = [
        f"{counted(plan.connections, 'connection')} in {counted(plan.workers, 'worker')} on {', '.join(plan.places)}",
        "",
    ]
    for finding in findings:
        lines.append(f"  {finding.level:7}  {finding.name:{width}}  {finding.text}")
        if finding.remedy:
            lines.append(f"  {'':7}  {'':{width}}  → {finding.remedy}")
    changes = sum(finding.level == "change" for finding in findings)
    return "\n".join([*lines, "", f"{counted(changes, 'thing')} to change" if changes else "nothing needs to change"])
