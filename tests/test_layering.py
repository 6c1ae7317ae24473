"""Who may import whom: the order of the folders, the machines without I/O, and no circle anywhere.

Import statements for type checkers and those inside functions count like all others.
"""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from tests.support.documents.imports import circles, import_graph, imported_names, module_name, package_files
from tests.support.documents.layers import (
    ACTORS_FOR_THE_SUPERVISOR,
    LESS_THAN_THE_ORDER,
    MACHINES,
    ORDERS,
    OUTSIDE,
)

ROOT = Path(__file__).parents[1]

"""They decide, and touch no socket, loop or clock; nor does what they import. Of a folder: all in it."""

IO = {"asyncio", "multiprocessing", "select", "selectors", "signal", "socket", "ssl", "subprocess", "threading", "time"}
IO |= {"uvloop", "zmq"}

MAY_IMPORT_ZMQ = (
    "actors/bus/",
    "supervisor/client/",
    "supervisor/cluster/exchange/",
    "supervisor/control/",
    "supervisor/process/bus_forwarder",
    "supervisor/protocol/address",
    "supervisor/protocol/curve",
    "supervisor/protocol/lookout",
    "supervisor/protocol/received",
)

MOST_FILES = 12
"""Of a folder, besides the one that introduces it: what one sees at a glance."""

MOST_LINES = 400

FILES = {file: ROOT / file for file in package_files(ROOT)}
FOLDERS = sorted({file.parent for file in FILES})


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    return import_graph(ROOT)


def rooms(module: str) -> tuple[str, str]:
    """The package of a module, and the folder or file in it that stands in the order."""
    for package in ORDERS:
        if module.startswith(f"{package}."):
            return package, module.removeprefix(f"{package}.").partition(".")[0]
    return module, ""


def lies_in(name: str, place: str, separator: str = ".") -> bool:
    return name == place or name.startswith(f"{place}{separator}")


def test_every_folder_has_its_place_in_the_order() -> None:
    for package, order in ORDERS.items():
        found = {room for place, room in map(rooms, map(module_name, FILES)) if place == package and room}
        assert found == set(order), f"{package}: name it in ORDERS, where it belongs"


def test_imports_run_one_way(graph: dict[str, set[str]]) -> None:
    wrong = []
    for module, imported in graph.items():
        package, room = rooms(module)
        for other in imported:
            other_package, other_room = rooms(other)
            if room and other_room and package == other_package:
                order = ORDERS[package]
                if order.index(room) < order.index(other_room):
                    wrong.append(f"{module} imports {other}")
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle(graph: dict[str, set[str]]) -> None:
    assert circles(graph) == []


def test_workers_never_import_the_supervisor(graph: dict[str, set[str]]) -> None:
    wrong = []
    for module, imported in graph.items():
        if rooms(module)[0] == "wspulse.actors":
            wrong += [f"{module} imports {other}" for other in imported if other.startswith("wspulse.supervisor")]
    assert wrong == []


def test_supervisor_imports_of_the_workers_what_each_part_needs(graph: dict[str, set[str]]) -> None:
    wrong = []
    for module, imported in graph.items():
        package, room = rooms(module)
        if package != "wspulse.supervisor" or not room:
            continue
        for other in imported:
            name = other.removeprefix("wspulse.actors").removeprefix(".")
            allowed = ACTORS_FOR_THE_SUPERVISOR[room]
            if other.startswith("wspulse.actors.") and not any(f"{name}.".startswith(f"{each}.") for each in allowed):
                wrong.append(f"{module} imports {other}")
    assert wrong == []


def test_room_imports_no_more_than_it_says(graph: dict[str, set[str]]) -> None:
    wrong = []
    for module, imported in graph.items():
        for place, allowed in LESS_THAN_THE_ORDER.items():
            if lies_in(module, place):
                package = rooms(module)[0]
                ours = {other for other in imported if lies_in(other, package) and not lies_in(other, place)}
                wrong += [
                    f"{module} imports {other}" for other in ours if not any(lies_in(other, each) for each in allowed)
                ]
    assert wrong == []


def test_what_users_import_is_imported_by_neither_half(graph: dict[str, set[str]]) -> None:
    wrong = []
    for module, imported in graph.items():
        if module not in OUTSIDE:
            wrong += [f"{module} imports {other}" for other in imported & OUTSIDE]
    assert wrong == []


@pytest.mark.parametrize("place", MACHINES)
def test_machine_imports_no_io(place: str, graph: dict[str, set[str]]) -> None:
    machines = {module_name(file) for file in FILES if lies_in(str(file.with_suffix("")), place, "/")}
    assert machines, "it was moved: say where it is now"
    reached = set(machines)
    while more := {other for module in reached for other in graph[module]} - reached:
        reached |= more
    files = {module_name(file): path for file, path in FILES.items()}
    found = {
        module: {source.partition(".")[0] for source, _ in imported_names(files[module])} & IO for module in reached
    }
    assert {module: names for module, names in found.items() if names} == {}


def test_only_bus_and_control_import_zmq() -> None:
    for file, path in FILES.items():
        if "zmq" in {source.partition(".")[0] for source, _ in imported_names(path)}:
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
    tests = {path.relative_to(ROOT): path for path in (ROOT / "tests").rglob("*.py")}
    long = {str(file): len(path.read_text().splitlines()) for file, path in (FILES | tests).items()}
    assert {file: lines for file, lines in long.items() if lines > MOST_LINES} == {}


def test_what_tests_share_is_introduced_and_no_heap() -> None:
    support = ROOT / "tests" / "support"
    files = [path for path in support.rglob("*.py") if path.name != "__init__.py"]
    for folder in {path.parent for path in files}:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), folder
        assert len([path for path in files if path.parent == folder]) <= MOST_FILES, folder


def test_tests_mirror_the_folders() -> None:
    homeless = []
    for top in ("actors", "supervisor"):
        for folder in {path.parent for path in (ROOT / "tests" / top).rglob("test_*.py")}:
            mirrored = folder.relative_to(ROOT / "tests")
            if mirrored not in FOLDERS:
                homeless.append(str(mirrored))
        # A test that stands in no folder is that of a file that stands in none, or of one side of it.
        files = {path.stem for path in (ROOT / top).glob("*.py")}
        flat = sorted(path.stem.removeprefix("test_") for path in (ROOT / "tests" / top).glob("test_*.py"))
        homeless += [name for name in flat if not any(f"{name}_".startswith(f"{file}_") for file in files)]
    assert homeless == []


def test_circle_is_found_and_its_neighbours_are_not() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"a"}}
    assert circles(graph) == [["b", "c"]]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A small one, in which two modules of a folder import each other where one easily overlooks it."""
    files = {
        "public/__init__": "from wspulse.actors.values.one import One",
        "values/__init__": "",
        "values/one": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from wspulse.actors.values.two import Two",
        "values/two": "def call():\n    from wspulse.actors.values import one\n    return one",
        "values/three": "import wspulse.actors.values.one as other\nfrom wspulse import One",
    }
    for name, text in files.items():
        path = tmp_path / "actors" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_imports_for_type_checkers_inside_functions_and_of_the_public_package_are_seen(house: Path) -> None:
    graph = import_graph(house)
    assert circles(graph) == [["wspulse.actors.values.one", "wspulse.actors.values.two"]]
    assert graph["wspulse.actors.values.three"] == {"wspulse.actors.values.one", "wspulse"}


def test_relative_import_is_refused(house: Path) -> None:
    (house / "actors" / "values" / "four.py").write_text("from ..values.one import One")
    with pytest.raises(ValueError, match="relative import"):
        import_graph(house)
