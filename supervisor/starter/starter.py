"""`write_project`: a folder with a project that runs, made of the templates in `project`.

Called by `wspulse new`. It writes into a folder that is empty or not there, and over nothing.
"""

from __future__ import annotations

import keyword
import re
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from wspulse.supervisor.errors import StartError, UsageError

__all__ = ["ProjectName", "write_project"]

TEMPLATES = Path(__file__).parent / "project"
SUFFIX = ".template"

TEMPLATE_NAME = "my-chat"
TEMPLATE_MODULE = "my_chat"
"""What it is called in the templates, as a project and as a package."""

_TAKEN = sys.stdlib_module_names | {
    "httptools",
    "msgspec",
    "pytest",
    "tests",
    "uvicorn",
    "uvloop",
    "websockets",
    "wspulse",
}
"""Packages that the project itself imports; one of its own with such a name would stand before them."""


class ProjectName(NamedTuple):
    """`project` as pip has it, `module` as Python imports it."""

    project: str
    module: str

    @classmethod
    def of(cls, folder_name: str) -> ProjectName:
        """The nearest that both allow: "Café 2" is cafe-2 and cafe_2, "2nd" app-2nd and app_2nd, "json" json-app and json_app."""
        plain = unicodedata.normalize("NFKD", folder_name).encode("ascii", "ignore").decode().lower()
        words = re.findall("[a-z0-9]+", plain) or ["app"]
        if words[0][0].isdecimal():
            words.insert(0, "app")
        if len(words) == 1 and (words[0] in _TAKEN or keyword.iskeyword(words[0])):
            words.append("app")
        return cls("-".join(words), "_".join(words))


def write_project(folder: Path) -> list[Path]:
    """Make the project; returns its files. Raises UsageError where something is in the folder, or at its place, and StartError
    where it cannot be written."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} already exists and is not an empty folder; give a new or empty one")
        name = ProjectName.of(folder.resolve().name)
        return [_write(folder / path, text) for path, text in _files(name)]
    except OSError as error:
        raise StartError(f"{error.filename or folder} cannot be written: {error.strerror or error}") from None


def _files(name: ProjectName) -> Iterator[tuple[str, str]]:
    """By their paths in the project."""
    for template in sorted(TEMPLATES.rglob(f"*{SUFFIX}")):
        path = template.relative_to(TEMPLATES).as_posix().removesuffix(SUFFIX)
        yield _named(path, name), _named(template.read_text(encoding="utf-8"), name)


def _named(text: str, name: ProjectName) -> str:
    return text.replace(TEMPLATE_NAME, name.project).replace(TEMPLATE_MODULE, name.module)


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    return path
