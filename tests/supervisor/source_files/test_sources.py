"""Which changes of files count as changes of the application."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from wspulse.supervisor.source_files.sources import Sources


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("/srv/app/chat.py", True),
        ("/srv/app/rooms/tea.py", True),
        ("/srv/app/notes.txt", False),
        ("/srv/app/__pycache__/chat.cpython-311.pyc", False),
        ("/srv/app/__pycache__/chat.py", False),
        ("/srv/app/.git/hooks/check.py", False),
        ("/srv/app/.venv/lib/web.py", False),
        ("/srv/app/.#chat.py", False),
        ("/srv/app/node_modules/gyp/build.py", False),
        ("/srv/app/lib/site-packages/web.py", False),
        ("/srv/app/venv/lib/web.py", False),
        ("/srv/apple/chat.py", False),
        ("/srv/chat.py", False),
        ("/etc/chat.toml", True),
        ("/etc/other.toml", False),
    ],
)
def test_change_counts_where_somebody_edits_the_application(path: str, counts: bool) -> None:
    environments = [PurePath("/srv/app/venv")]
    sources = Sources([PurePath("/srv/app"), PurePath("/etc/chat.toml")], environments.__contains__)
    assert sources.have(PurePath(path)) is counts


def test_folder_that_was_named_counts_whatever_it_is() -> None:
    sources = Sources([PurePath("/srv/.hidden/venv")], lambda folder: True)
    assert sources.have(PurePath("/srv/.hidden/venv/chat.py"))
    assert not sources.have(PurePath("/srv/.hidden/venv/lib/chat.py"))
