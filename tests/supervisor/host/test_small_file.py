"""Files that somebody named: what is no small file is an error and no endless reading."""

from __future__ import annotations

from pathlib import Path

import pytest

from wspulse.supervisor.errors import SettingError
from wspulse.supervisor.host.small_file import read_small_file
from wspulse.supervisor.protocol.curve import KeyFileError, load_allowed
from wspulse.supervisor.settings.layers import resolve

ENDLESS = "/dev/zero"


def test_file_of_a_mebibyte_is_read_and_one_byte_more_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 2**20)
    assert len(read_small_file(file)) == 2**20
    file.write_bytes(b"x" * (2**20 + 1))
    with pytest.raises(OSError, match="it is larger than 1 MiB"):
        read_small_file(file)


def test_endless_file_is_no_file_of_keys_and_no_settings() -> None:
    with pytest.raises(KeyFileError, match="/dev/zero cannot be read: it is larger than 1 MiB"):
        load_allowed(Path(ENDLESS))
    with pytest.raises(SettingError, match="/dev/zero: cannot be read: it is larger than 1 MiB"):
        resolve({"config": ENDLESS}, {})
