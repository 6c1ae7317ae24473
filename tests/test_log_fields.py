"""What the log lines of the product carry: a field that has the name of one that every record has raises KeyError in logging."""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.documents.imports import package_files

ROOT = Path(__file__).parents[1]

TAKEN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}


def field_names(source: str) -> Iterator[tuple[int, str]]:
    """Each name of a field that is given to a log line as `extra`: in its place, or by a variable or function of the file."""
    tree = ast.parse(source)
    given: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "extra":
            yield from _keys(node.value)
            for part in ast.walk(node.value):
                if isinstance(part, ast.Name):
                    given.add(part.id)
                elif isinstance(part, ast.Attribute):
                    given.add(part.attr)
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in given:
                yield from _keys(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if name in given:
                yield from _keys(value)
            case ast.Assign(targets=[ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str(key)))]):
                if name in given:
                    yield node.lineno, key
            case ast.FunctionDef(name=name) if name in given:
                for part in ast.walk(node):
                    if isinstance(part, ast.Return) and part.value is not None:
                        yield from _keys(part.value)


def _keys(value: ast.expr) -> Iterator[tuple[int, str]]:
    for node in ast.walk(value):
        if isinstance(node, ast.Dict):
            for key in node.keys:
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield key.lineno, key.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
            yield from ((node.lineno, keyword.arg) for keyword in node.keywords if keyword.arg is not None)


def test_no_field_of_a_log_line_has_the_name_of_one_that_every_record_has() -> None:
    found = [
        (str(file), line, name) for file in package_files(ROOT) for line, name in field_names((ROOT / file).read_text())
    ]
    assert len(found) > 100
    assert [each for each in found if each[2] in TAKEN] == []


@pytest.mark.parametrize(
    "source",
    [
        'log("x", extra={"a": 1, "process": 2})',
        'fields = {"process": 1}\nlog("x", extra=fields)',
        'fields: dict[str, int] = {}\nfields["process"] = 1\nlog("x", extra=fields | {"a": 1})',
        'log("x", extra=dict(process=1))',
        'def _fields(self):\n    return {"process": 1}\nlog("x", extra=self._fields())',
    ],
)
def test_field_is_found_wherever_it_is_named(source: str) -> None:
    assert "process" in {name for _line, name in field_names(source)}
