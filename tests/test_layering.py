"""Who may import whom: what keeps the machines without I/O, and the workers without the supervisor."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MACHINES = (
    "framing",
    "unfinished_message",
    "handshake",
    "session_state",
    "transport_state",
    "send_buffer",
    "placement",
    "deadlines",
    "bus_flow",
    "bus_message",
    "log_limit",
    "close_code",
    "errors",
    "frame",
    "codec",
    "config",
    "message",
)
"""They decide, and touch no socket, loop or clock."""

MAY_IMPORT_ZMQ = {"zmq_bus.py", "bus_forwarder.py"}


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
    tops = {module.partition(".")[0] for module in imports(ROOT / "actors" / f"{name}.py")}
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
            known = path.name in MAY_IMPORT_ZMQ or path.name.startswith(("control_", "event_", "curve", "bridge_"))
            assert known, f"{path.name} imports zmq"
