"""Who may import whom: what keeps the machines without I/O, and the workers without the supervisor."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MACHINES = (
    "actors/wire/framing",
    "actors/wire/unfinished_message",
    "actors/wire/handshake",
    "actors/sessions/state",
    "actors/transport/state",
    "actors/sessions/send_buffer",
    "actors/mesh/placement",
    "actors/values/deadlines",
    "actors/bus/flow",
    "actors/bus/message",
    "actors/values/log_limit",
    "actors/values/close_code",
    "actors/values/errors",
    "actors/values/frame",
    "actors/values/codec",
    "actors/values/config",
    "actors/mesh/message",
)
"""They decide, and touch no socket, loop or clock."""

MAY_IMPORT_ZMQ = (
    "actors/bus/",
    "supervisor/control/",
    "supervisor/protocol/",
    "supervisor/client/",
    "supervisor/process/bus_forwarder.py",
)


def imports(path: Path) -> set[str]:
    """The modules that a file names in its import statements, those for type checkers included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("name", MACHINES)
def test_machine_imports_no_io(name: str) -> None:
    tops = {module.partition(".")[0] for module in imports(ROOT / f"{name}.py")}
    assert tops & {"asyncio", "zmq", "socket", "time", "uvloop"} == set()


def test_workers_never_import_the_supervisor() -> None:
    allowed = {"public", "testing", "pytest_plugin"}  # what users import may reach both
    for path in (ROOT / "actors").rglob("*.py"):
        if path.relative_to(ROOT / "actors").parts[0] in allowed:
            continue
        found = {module for module in imports(path) if module.startswith("wspulse.supervisor")}
        assert found == set(), f"{path.name} imports {found}"


def test_only_bus_and_control_files_import_zmq() -> None:
    for path in [*(ROOT / "actors").rglob("*.py"), *(ROOT / "supervisor").rglob("*.py")]:
        if "zmq" in {module.partition(".")[0] for module in imports(path)}:
            place = str(path.relative_to(ROOT))
            assert place.startswith(MAY_IMPORT_ZMQ), f"{place} imports zmq"
