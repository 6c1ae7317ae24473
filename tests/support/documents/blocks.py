"""The code blocks, links and file names of a Markdown document, for the test that runs and follows them.

What a ```python block is, its first line says:

    # chat.py           a file: it is put into the document's folder, and imported
    # test_chat.py      a file of tests: pytest runs it in that folder, when all files are there
    # --- a title, at the end of chat.py    what is added to that file
    anything else       goes on where the block before it stopped, with its names; it may `await`

`<!-- not run: why -->` on the line before a block leaves it at being compiled.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Block", "anchors", "blocks", "commands", "links", "named_files"]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run: .+ -->\n\Z")
_FILE_LINE = re.compile(r"# ([\w/]+\.py)\b.*\n")
_ADDED_LINE = re.compile(r"# --- .+, at the end of ([\w/]+\.py)\n")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_NAMED_FILE = re.compile(r"`((?:actors|bench|doc|examples|scripts|supervisor|tests)/[\w./-]*\w)`")
_ASSIGNMENT = re.compile(r"\w+=")


class Block(NamedTuple):
    language: str
    source: str
    line: int
    """Of the document, on which the source begins."""
    is_run: bool

    @property
    def file_name(self) -> str | None:
        """The file that a python block is, if it is one."""
        match = _FILE_LINE.match(self.source)
        return match[1] if match else None

    @property
    def added_to(self) -> str | None:
        """The file at whose end a python block is put, if it is."""
        match = _ADDED_LINE.match(self.source)
        return match[1] if match else None


def blocks(document: Path, language: str) -> list[Block]:
    """The blocks of one language, in order."""
    text = document.read_text()
    found = []
    for match in _FENCE.finditer(text):
        if match[1] == language:
            before = text[: match.start()]
            found.append(Block(language, match[2], text[: match.start(2)].count("\n") + 1, not _NOT_RUN.search(before)))
    return found


def commands(source: str) -> Iterator[list[str]]:
    """The commands of a shell text as words, without comments, line continuations, `VARIABLE=...` and a trailing `&`."""
    for line in source.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and _ASSIGNMENT.match(words[0]):
            del words[0]
        if words and words[-1] == "&":
            words.pop()
        if words:
            yield words


def links(document: Path) -> list[str]:
    """The targets of its links that lead nowhere else than into this project."""
    text = _FENCE.sub("", document.read_text())
    return [target for target in _LINK.findall(text) if not re.match(r"[a-z]+:", target)]


def named_files(document: Path) -> list[str]:
    """Files of this project that it names in code type, as `examples/chat.py`."""
    return _NAMED_FILE.findall(_FENCE.sub("", document.read_text()))


def anchors(document: Path) -> set[str]:
    """What a link into it may have behind its #: its headings, as GitHub turns them into anchors."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
