"""Which module of the package imports which, as the files say it: every import statement, those for type checkers and
those inside functions included."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["circles", "import_graph", "imported_names", "module_name", "package_files"]

PACKAGES = {"actors/public": "wspulse", "actors/pytest_plugin": "_wspulse_pytest", "actors": "wspulse.actors"}
"""Folder → what it is imported as; the longest folder that fits counts."""


def package_files(root: Path) -> list[Path]:
    """Every Python file of the two packages, by path from `root`."""
    return sorted(path.relative_to(root) for top in ("actors", "supervisor") for path in (root / top).rglob("*.py"))


def module_name(file: Path) -> str:
    """What a file (by its path from the root) is imported as."""
    text = file.with_suffix("").as_posix().removesuffix("/__init__")
    for folder, package in PACKAGES.items():
        if text == folder or text.startswith(f"{folder}/"):
            return (package + text.removeprefix(folder)).replace("/", ".")
    return f"wspulse.{text}".replace("/", ".")


def imported_names(path: Path) -> Iterator[tuple[str, str]]:
    """Each import of a file: the module, and the name that is taken from it ("" for the module itself).

    Raises ValueError for a relative import, which would have to be resolved first.
    """
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise ValueError(f"{path}:{node.lineno}: a relative import")
            yield from ((node.module, alias.name) for alias in node.names)


def import_graph(root: Path) -> dict[str, set[str]]:
    """Module → the modules of the packages that it imports. `from package import name` is an arrow to the module of that
    name, and to the package itself where there is none."""
    files = {module_name(file): root / file for file in package_files(root)}
    graph = {}
    for module, path in files.items():
        found = {name if (name := f"{source}.{taken}") in files else source for source, taken in imported_names(path)}
        graph[module] = (found & files.keys()) - {module}
    return graph


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import each other in a circle (Tarjan's strongly connected components)."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        numbers[module] = lowest[module] = len(numbers)
        stack.append(module)
        for other in sorted(graph.get(module, ())):
            if other not in numbers:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in stack:
                lowest[module] = min(lowest[module], numbers[other])
        if lowest[module] == numbers[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(group) > 1:
                found.append(sorted(group))

    for module in sorted(graph):
        if module not in numbers:
            visit(module)
    return sorted(found)
