"""Key files."""

from __future__ import annotations

from pathlib import Path

import pytest
import zmq.auth

from wspulse.supervisor.protocol.curve import KeyFileError, load_allowed, load_pair, load_public, write_pair


def test_written_pair_is_read_by_us_and_by_zeromqs_own_tools(tmp_path: Path) -> None:
    public, secret = write_pair(tmp_path, "mine")
    pair = load_pair(secret)
    assert load_public(public) == load_public(secret) == pair.public
    assert zmq.auth.load_certificate(secret) == (pair.public, pair.secret)
    assert secret.stat().st_mode & 0o777 == 0o600
    assert pair.secret not in public.read_bytes()
    with pytest.raises(FileExistsError):
        write_pair(tmp_path, "mine")


def test_files_of_zeromqs_own_tools_are_read(tmp_path: Path) -> None:
    public, secret = zmq.auth.create_certificates(tmp_path, "theirs")
    assert load_pair(Path(secret)).public == load_public(Path(public))


def test_list_is_a_folder_a_file_or_lines(tmp_path: Path) -> None:
    (tmp_path / "clients").mkdir()
    keys = [load_public(write_pair(tmp_path / "clients", name)[0]) for name in ("one", "two")]
    assert load_allowed(tmp_path / "clients") == set(keys)
    assert load_allowed(tmp_path / "clients" / "one.key") == {keys[0]}
    lines = tmp_path / "lines"
    lines.write_text("# friends\n\n" + "\n".join(key.decode() for key in keys))
    assert load_allowed(lines) == set(keys)


def test_useless_files_are_refused_with_their_names(tmp_path: Path) -> None:
    public, _ = write_pair(tmp_path, "mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("hello")
    with pytest.raises(KeyFileError, match=r"mine\.key contains no key pair"):
        load_pair(public)
    for path in (tmp_path / "none", tmp_path / "empty", tmp_path / "text"):
        with pytest.raises(KeyFileError, match=str(path)):
            load_allowed(path)
