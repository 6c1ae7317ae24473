"""What the claim of a control endpoint leaves behind when it is refused, and ports that are written in another way."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from wspulse.supervisor.control.endpoint import claim_endpoint
from wspulse.supervisor.errors import StartError
from wspulse.supervisor.host.runtime_dir import RuntimeDir


@pytest.fixture
def runtime_dir(tmp_path: Path) -> Iterator[RuntimeDir]:
    (tmp_path / "run").mkdir(mode=0o700)
    claimed = RuntimeDir.claim(8000, {"XDG_RUNTIME_DIR": str(tmp_path / "run")})
    yield claimed
    claimed.release()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "f").mkdir(mode=0o700)
    return tmp_path / "f"


@pytest.mark.parametrize(
    ("port", "control", "events"),
    [("00", "*", "*"), ("00000", "*", "*"), ("05555", "5555", "5556"), ("1", "1", "2")],
)
def test_port_is_a_number_however_it_is_written(port: str, control: str, events: str, runtime_dir: RuntimeDir) -> None:
    claimed = claim_endpoint(f"tcp://127.0.0.1:{port}", runtime_dir, has_keys=False)
    assert (claimed.control, claimed.events) == (f"tcp://127.0.0.1:{control}", f"tcp://127.0.0.1:{events}")


def test_refusal_leaves_no_lock_file(folder: Path, runtime_dir: RuntimeDir) -> None:
    (folder / "c.events").write_text("precious")
    with pytest.raises(StartError, match="is no socket"):
        claim_endpoint(f"ipc://{folder}/c", runtime_dir, has_keys=False)
    assert [path.name for path in folder.iterdir()] == ["c.events"]


def test_lock_file_of_another_server_stays(folder: Path, runtime_dir: RuntimeDir) -> None:
    claimed = claim_endpoint(f"ipc://{folder}/c", runtime_dir, has_keys=False)
    with pytest.raises(StartError, match="another wspulse"):
        claim_endpoint(f"ipc://{folder}/c", runtime_dir, has_keys=False)
    assert [path.name for path in folder.iterdir()] == ["c.lock"]
    claimed.release()


def test_socket_that_cannot_be_removed_is_an_error_in_one_line_and_leaves_no_descriptor(
    folder: Path, runtime_dir: RuntimeDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(folder / "c"))
    real_unlink = Path.unlink

    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        if path.name == "c":
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        real_unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        with pytest.raises(StartError, match=f"{folder}/c cannot be removed: Operation not permitted; choose another"):
            claim_endpoint(f"ipc://{folder}/c", runtime_dir, has_keys=False)
    claim_endpoint(f"ipc://{folder}/c", runtime_dir, has_keys=False).release()
