"""The token's file: what one is, and what becomes of a server whose file is written anew."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from wspulse.supervisor.admin.token_file import TokenFile
from wspulse.supervisor.errors import SettingError

ONE, OTHER = "one-token-0123456789", "another-token-0123456789"


def write(path: Path, content: str) -> None:
    """In the place of what is there, as deployments do."""
    new = path.with_suffix(".new")
    new.write_text(content)
    new.replace(path)


def test_only_the_token_matches(tmp_path: Path) -> None:
    write(tmp_path / "token", f"{ONE}\n")
    token = TokenFile(str(tmp_path / "token"))
    assert token.matches(ONE)
    assert not any(token.matches(wrong) for wrong in ("", ONE[:-1], ONE + "x", OTHER, "é" * 20))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "contains no token"),
        (b"short\n", "contains no token"),
        (b"two words of a token-0123\n", "contains no token"),
        (b"one-token-0123456789\nanother-token-0123456789\n", "contains no token"),
        (b"x" * 257, "contains no token"),
        (b"\xff" * 20, "is not text"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_file_without_a_token_is_refused(tmp_path: Path, content: bytes | None, problem: str) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    with pytest.raises(SettingError, match=f"--admin-token-file: .*/token {problem}"):
        TokenFile(str(tmp_path / "token"))


def test_token_that_is_written_anew_replaces_the_one_before(tmp_path: Path) -> None:
    write(tmp_path / "token", ONE)
    token: TokenFile = pickle.loads(pickle.dumps(TokenFile(str(tmp_path / "token"))))  # as it comes to its process
    write(tmp_path / "token", OTHER)
    assert token.matches(OTHER)
    assert not token.matches(ONE)


def test_file_that_cannot_be_used_any_more_leaves_the_token_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "token", ONE)
    token = TokenFile(str(tmp_path / "token"))
    for problem in ("removed", "emptied"):
        caplog.clear()
        if problem == "removed":
            (tmp_path / "token").unlink()
        else:
            write(tmp_path / "token", "")
        assert token.matches(ONE)
        assert token.matches(ONE)
        assert [record.message for record in caplog.records] == [
            "the token file cannot be used; the previous token stays valid"
        ]
    assert ONE not in caplog.text
    write(tmp_path / "token", OTHER)
    assert token.matches(OTHER)
