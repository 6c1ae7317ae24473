"""What the documents say is true: their programs run, their commands exist, their links lead somewhere.

The conventions for code blocks are in tests/support/documents/blocks.py.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.documents.blocks import Block, anchors, blocks, commands, links, named_files
from wspulse.supervisor.cli import SUBCOMMANDS, _parse
from wspulse.supervisor.settings.layers import resolve

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "doc").rglob("*.md"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *PAGES, *(ROOT / "actors").glob("*/README.md")])
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


PAGE_NAME = re.compile(r"\bdoc/[\w/-]+\.md")
TEST_NAME = re.compile(r"\btests/[\w/]+(?:\.\w+)?")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)


# Programs.


@every_document
async def test_python_blocks_of_a_document_run(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for number, block in enumerate(blocks(document, "python")):
        where = f"{name_of(document)}:{block.line}"
        if block.file_name is not None and block.is_run:
            (tmp_path / block.file_name).write_text(block.source)
        if not block.is_run or (block.file_name or "").startswith("test_"):
            compile(block.source, where, "exec")
            continue
        if block.file_name is not None or not names:
            module = types.ModuleType(f"document_block_{number}")
            monkeypatch.setitem(sys.modules, module.__name__, module)  # where msgspec looks for a class's annotations
            names = vars(module)
        await run_block(block, where, names)


async def run_block(block: Block, where: str, names: dict[str, object]) -> None:
    # The lines are counted on, so that a traceback leads to the document.
    source = "\n" * (block.line - 1) + block.source
    code = compile(source, where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    result = eval(code, names)
    if inspect.iscoroutine(result):
        await result


@every_document
def test_test_files_of_a_document_pass(document: Path, tmp_path: Path) -> None:
    own = [block for block in blocks(document, "python") if block.is_run]
    tests = [block.file_name for block in own if block.file_name is not None and block.file_name.startswith("test_")]
    if not tests:
        return
    # A test may be for a program of another page beside this one.
    others = [page for page in document.parent.glob("*.md") if page != document]
    for block in [block for page in others for block in blocks(page, "python") if block.is_run]:
        if block.file_name is not None and not block.file_name.startswith("test_"):
            (tmp_path / block.file_name).write_text(block.source)
    for block in own:
        if block.file_name is not None:
            (tmp_path / block.file_name).write_text(block.source)
        elif block.added_to is not None:
            with (tmp_path / block.added_to).open("a") as file:
                file.write(f"\n\n{block.source}")
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", "temporary", *tests]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr


@every_document
def test_file_names_of_a_document_are_given_once(document: Path) -> None:
    names = [block.file_name for block in blocks(document, "python") if block.file_name is not None and block.is_run]
    assert sorted(names) == sorted(set(names))


# Commands.


def check_server_flags(arguments: list[str]) -> None:
    flags = _parse(arguments)
    if flags is not None:
        resolve(flags, {})


def check_subcommand(arguments: list[str]) -> None:
    if arguments[0] == "serve":
        check_server_flags(arguments[1:])
    elif ":" in arguments[0]:
        check_server_flags(arguments)
    else:
        assert arguments[0] in ("--help", "--version", *SUBCOMMANDS)


def check_python(arguments: list[str]) -> None:
    match arguments:
        case ["-m", "wspulse.supervisor", *flags]:
            check_server_flags(flags)
        case ["-m", "pytest", *_] | ["-m", "venv", _]:
            pass
        case [file, *_]:
            assert any((folder / file).is_file() for folder in (ROOT, ROOT / "examples")), f"there is no {file}"
        case _:
            raise AssertionError(f"what does python {arguments} do?")


def check_script(script: str, arguments: list[str]) -> None:
    assert os.access(ROOT / script, os.X_OK), f"{script} cannot be run"
    if Path(script).name == "serve":
        check_server_flags(arguments)


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "wspulse": check_subcommand,
    "python": check_python,
    "python3": check_python,
    "cd": lambda arguments: None,
    "curl": lambda arguments: None,
    "git": lambda arguments: None,
    "mkdir": lambda arguments: None,
    "nats-server": lambda arguments: None,  # run by tests/process/test_hosts_document.py
    "pip": lambda arguments: None,
    "pytest": lambda arguments: None,
}


def check_command(words: list[str]) -> None:
    """Raises when the program or one of its flags is not there; StartError is the command line's own."""
    program, arguments = words[0], words[1:]
    program = program.removeprefix(".venv/bin/").removeprefix("./")
    if program.startswith("scripts/"):
        check_script(program, arguments)
    elif program in CHECKS:
        CHECKS[program](arguments)
    else:
        in_venv = words[0].startswith(".venv/bin/") and (Path(sys.executable).parent / program).exists()
        assert in_venv, f"nobody knows the command {program!r}"


@every_document
def test_commands_of_a_document_exist_with_their_flags(document: Path) -> None:
    for block in [*blocks(document, "bash"), *blocks(document, "sh"), *blocks(document, "console")]:
        for words in commands(block.source):
            try:
                check_command(words)
            except Exception as error:
                raise AssertionError(f"{name_of(document)}:{block.line}: {' '.join(words)}: {error}") from error


@pytest.mark.parametrize("example", EXAMPLES, ids=name_of)
def test_example_says_how_it_is_run_and_the_command_exists(example: Path) -> None:
    docstring = ast.get_docstring(ast.parse(example.read_text())) or ""
    summary, _, rest = docstring.partition("\n\n")
    assert "\n" not in summary
    found = [words for words in commands(rest.replace("'", " ")) if words[0].startswith(("python", "wspulse"))]
    assert any(example.stem in " ".join(words) for words in found), "its docstring has no command that runs it"
    for words in found:
        check_command(words)


# Links.


@every_document
def test_links_of_a_document_lead_somewhere(document: Path) -> None:
    for target in links(document):
        path, _, anchor = target.partition("#")
        other = (document.parent / path).resolve() if path else document
        assert other.exists(), f"{target}: there is no {other}"
        if anchor:
            assert anchor in anchors(other), f"{target}: {name_of(other)} has no such heading"


def test_index_leads_to_every_page() -> None:
    index = ROOT / "doc" / "index.md"
    linked = {(index.parent / target.partition("#")[0]).resolve() for target in links(index)}
    assert [name_of(page) for page in PAGES if page != index and page not in linked] == []


def test_pages_that_code_names_are_there() -> None:
    folders = ("actors", "supervisor", "tests", "bench", "examples", "scripts")
    endings = {".py", ".js", ".ts", ".json", ".template", ".md", ""}
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    named = {
        (name_of(path), page)
        for path in files
        if path.suffix in endings and "__pycache__" not in path.parts
        for page in PAGE_NAME.findall(path.read_text())
    }
    assert len(named) > 40, "the documents are named in the code"
    assert sorted((path, page) for path, page in named if not (ROOT / page).is_file()) == []


def test_tests_that_scripts_run_are_there() -> None:
    named = {
        (name_of(path), test)
        for path in (ROOT / "scripts").iterdir()
        if path.is_file()
        for test in TEST_NAME.findall(path.read_text())
    }
    assert len(named) > 10, "scripts name tests"
    assert sorted((path, test) for path, test in named if not (ROOT / test).exists()) == []


@every_document
def test_files_that_a_document_names_are_there(document: Path) -> None:
    missing = [name for name in named_files(document) if not (ROOT / name).exists()]
    assert not missing
