"""Who may import whom: the order of the folders, the machines without I/O, and no circle anywhere.

Import statements for type checkers and those inside functions count like all others.
"""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from tests.support.imports import circles, import_graph, imported_names, module_name, package_files

ROOT = Path(__file__).parents[1]

ORDERS = {
    "wspulse.actors": (
        "values",
        "wire",
        "mesh",
        "bus",
        "transport",
        "sessions",
        "accept",
        "events",
        "runtime",
        "asgi",
        "server",
        "apps",
        "testing",
    ),
    "wspulse.supervisor": (
        "errors",
        "logs",
        "host",
        "protocol",
        "settings",
        "worker",
        "process",
        "control",
        "supervisor",
        "client",
        "commands",
        "cli",
        "__main__",
    ),
}
"""Each folder, or file that stands in none, may be imported by what stands behind it."""

ACTORS_FOR_THE_SUPERVISOR = {
    "errors": (),
    "logs": (),
    "host": (),
    "protocol": ("values.errors", "values.frame"),
    "settings": ("values", "accept.origins"),
    "worker": ORDERS["wspulse.actors"],
    "process": ("values", "mesh"),
    "control": ("values", "mesh"),
    "supervisor": ("values", "mesh"),
    "client": ("values.errors", "values.frame"),
    "commands": ("values.errors", "values.frame"),
    "cli": (),
    "__main__": (),
}
"""What each part of the supervisor may import of the workers' half; that imports nothing of the supervisor's."""

OUTSIDE = ("wspulse", "wspulse.testing", "_wspulse_pytest")
"""What users import: it may reach both halves, and neither imports it."""

MACHINES = (
    "actors/values",
    "actors/wire",
    "actors/mesh/message",
    "actors/mesh/placement",
    "actors/bus/flow",
    "actors/bus/message",
    "actors/transport/state",
    "actors/transport/upgrade",
    "actors/sessions/handlers",
    "actors/sessions/room",
    "actors/sessions/send_buffer",
    "actors/sessions/state",
    "supervisor/process/liveness",
    "supervisor/process/restart_intensity",
    "supervisor/protocol/calls",
    "supervisor/protocol/endpoint",
    "supervisor/protocol/types",
    "supervisor/protocol/wire",
    "supervisor/settings/kinds",
)
"""They decide, and touch no socket, loop or clock. Of a folder: all in it."""

MAY_IMPORT_ZMQ = (
    "actors/bus/",
    "supervisor/client/",
    "supervisor/control/",
    "supervisor/process/bus_forwarder",
    "supervisor/protocol/",
)

MOST_FILES = 12
"""Of a folder, besides the one that introduces it: what one sees at a glance."""

MOST_LINES = 400

FILES = {file: ROOT / file for file in package_files(ROOT)}
FOLDERS = sorted({file.parent for file in FILES})


def rooms(module: str) -> tuple[str, str]:
    """The package of a module, and the folder or file in it that stands in the order."""
    for package in ORDERS:
        if module.startswith(f"{package}."):
            return package, module.removeprefix(f"{package}.").partition(".")[0]
    return module, ""


def test_every_folder_has_its_place_in_the_order() -> None:
    for package, order in ORDERS.items():
        found = {room for place, room in map(rooms, map(module_name, FILES)) if place == package and room}
        assert found == set(order), f"{package}: name it in ORDERS, where it belongs"


def test_imports_run_one_way() -> None:
    wrong = []
    for module, imported in import_graph(ROOT).items():
        package, room = rooms(module)
        for other in imported:
            other_package, other_room = rooms(other)
            if room and other_room and package == other_package:
                order = ORDERS[package]
                if order.index(room) < order.index(other_room):
                    wrong.append(f"{module} imports {other}")
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles(import_graph(ROOT)) == []


def test_workers_never_import_the_supervisor() -> None:
    wrong = []
    for module, imported in import_graph(ROOT).items():
        if rooms(module)[0] == "wspulse.actors":
            wrong += [f"{module} imports {other}" for other in imported if other.startswith("wspulse.supervisor")]
    assert wrong == []


def test_supervisor_imports_of_the_workers_what_each_part_needs() -> None:
    wrong = []
    for module, imported in import_graph(ROOT).items():
        package, room = rooms(module)
        if package != "wspulse.supervisor" or not room:
            continue
        for other in imported:
            name = other.removeprefix("wspulse.actors").removeprefix(".")
            allowed = ACTORS_FOR_THE_SUPERVISOR[room]
            if other.startswith("wspulse.actors.") and not any(f"{name}.".startswith(f"{each}.") for each in allowed):
                wrong.append(f"{module} imports {other}")
    assert wrong == []


def test_what_users_import_is_imported_by_neither_half() -> None:
    graph = import_graph(ROOT)
    wrong = [f"{module} imports wspulse" for module, imported in graph.items() if "wspulse" in imported]
    assert wrong == []


@pytest.mark.parametrize("place", MACHINES)
def test_machine_imports_no_io(place: str) -> None:
    files = [path for file, path in FILES.items() if f"{file.with_suffix('')}/".startswith(f"{place}/")]
    assert files, "it was moved: say where it is now"
    for path in files:
        tops = {module.partition(".")[0] for module in imported_names(path)}
        assert tops & {"asyncio", "zmq", "socket", "time", "uvloop"} == set(), path.name


def test_only_bus_and_control_import_zmq() -> None:
    for file, path in FILES.items():
        if "zmq" in {module.partition(".")[0] for module in imported_names(path)}:
            assert str(file).startswith(MAY_IMPORT_ZMQ), f"{file} imports zmq"


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_folder_is_introduced_and_is_no_heap(folder: Path) -> None:
    first, *rest = ast.parse((ROOT / folder / "__init__.py").read_text()).body
    assert isinstance(first, ast.Expr), "its __init__.py says what lives here, what it may import, where to begin"
    if not str(folder).startswith(("actors/public", "actors/pytest_plugin")):
        assert rest == [], "a folder introduces itself and does nothing else"
    assert len([file for file in FILES if file.parent == folder]) - 1 <= MOST_FILES


def test_every_folder_is_packaged() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert sorted(packages) == sorted(module_name(folder / "__init__.py") for folder in FOLDERS)


def test_no_file_is_long() -> None:
    long = {str(file): len(path.read_text().splitlines()) for file, path in FILES.items()}
    assert {file: lines for file, lines in long.items() if lines > MOST_LINES} == {}


def test_tests_mirror_the_folders() -> None:
    homeless = []
    for top in ("actors", "supervisor"):
        for folder in {path.parent for path in (ROOT / "tests" / top).rglob("test_*.py")}:
            mirrored = folder.relative_to(ROOT / "tests")
            if mirrored not in FOLDERS:
                homeless.append(str(mirrored))
    assert homeless == []


def test_circle_is_found_and_its_neighbours_are_not() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"a"}}
    assert circles(graph) == [["b", "c"]]


def test_imports_for_type_checkers_and_inside_functions_are_seen(tmp_path: Path) -> None:
    (tmp_path / "actors" / "values").mkdir(parents=True)
    (tmp_path / "supervisor").mkdir()
    (tmp_path / "actors" / "values" / "__init__.py").touch()
    (tmp_path / "actors" / "values" / "one.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from wspulse.actors.values.two import Two\n"
    )
    (tmp_path / "actors" / "values" / "two.py").write_text(
        "def call():\n    from wspulse.actors.values import one\n    return one\n"
    )
    assert circles(import_graph(tmp_path)) == [["wspulse.actors.values.one", "wspulse.actors.values.two"]]
