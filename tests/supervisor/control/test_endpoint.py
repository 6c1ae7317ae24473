"""Where the control socket and the events are, and what is refused."""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import zmq

from wspulse.supervisor.control.endpoint import ControlEndpoint, bind_private, claim_endpoint, is_taken
from wspulse.supervisor.errors import SettingError, StartError
from wspulse.supervisor.premises.runtime_dir import RuntimeDir


@pytest.fixture
def runtime_dir(tmp_path: Path) -> Iterator[RuntimeDir]:
    (tmp_path / "run").mkdir(mode=0o700)
    claimed = RuntimeDir.claim(8000, {"XDG_RUNTIME_DIR": str(tmp_path / "run")})
    yield claimed
    claimed.release()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of ours for `--control ipc://`."""
    (tmp_path / "f").mkdir(mode=0o700)
    return tmp_path / "f"


@pytest.fixture
def router() -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        yield router


def claim(text: str | None, runtime_dir: RuntimeDir, *, has_keys: bool = False) -> ControlEndpoint:
    return claim_endpoint(text, runtime_dir, has_keys=has_keys)


def test_without_a_setting_both_are_in_the_runtime_directory(runtime_dir: RuntimeDir) -> None:
    claimed = claim(None, runtime_dir)
    assert claimed.control == f"ipc://{runtime_dir.path}/control.sock"
    assert claimed.events == f"ipc://{runtime_dir.socket_path('events')}"
    claimed.release()
    assert (runtime_dir.path / "lock").exists(), "the folder is not the endpoint's to remove"


@pytest.mark.parametrize(
    ("text", "control", "events"),
    [
        ("tcp://127.0.0.1:5555", "tcp://127.0.0.1:5555", "tcp://127.0.0.1:5556"),
        ("tcp://127.8.9.1:5555", "tcp://127.8.9.1:5555", "tcp://127.8.9.1:5556"),
        ("tcp://localhost:5555", "tcp://127.0.0.1:5555", "tcp://127.0.0.1:5556"),
        ("tcp://[::1]:5555", "tcp://[::1]:5555", "tcp://[::1]:5556"),
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:*", "tcp://127.0.0.1:*"),
        ("tcp://127.0.0.1:*", "tcp://127.0.0.1:*", "tcp://127.0.0.1:*"),
    ],
)
def test_events_of_a_loopback_endpoint_are_one_port_further(
    text: str, control: str, events: str, runtime_dir: RuntimeDir
) -> None:
    claimed = claim(text, runtime_dir)
    assert (claimed.control, claimed.events) == (control, events)
    claimed.release()


@pytest.mark.parametrize(
    "text", ["tcp://0.0.0.0:5555", "tcp://*:5555", "tcp://10.0.0.1:5555", "tcp://[::]:5555", "tcp://example.com:5555"]
)
def test_endpoint_that_others_can_reach_needs_keys(text: str, runtime_dir: RuntimeDir) -> None:
    with pytest.raises(
        SettingError, match=r"--control: tcp://.* can be reached from other machines, which requires CURVE keys"
    ):
        claim(text, runtime_dir)
    assert claim(text, runtime_dir, has_keys=True).control == text


def test_path_is_one_servers_and_free_again_after_the_release(folder: Path, runtime_dir: RuntimeDir) -> None:
    claimed = claim(f"ipc://{folder}/c", runtime_dir)
    assert claimed.control == f"ipc://{folder}/c"
    assert claimed.events == f"ipc://{folder}/c.events"
    assert sorted(path.name for path in folder.iterdir()) == ["c.lock"]
    with pytest.raises(
        StartError, match=f"another wspulse server has its control socket at {folder}/c; choose another"
    ):
        claim(f"ipc://{folder}/c", runtime_dir)
    claim(f"ipc://{folder}/d", runtime_dir).release()
    for name in ("c", "c.events"):
        (folder / name).touch()
    claimed.release()
    assert list(folder.iterdir()) == []
    claim(f"ipc://{folder}/c", runtime_dir).release()


def test_way_to_a_folder_over_a_link_is_the_same_path(folder: Path, runtime_dir: RuntimeDir, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    claimed = claim(f"ipc://{tmp_path}/link/c", runtime_dir)
    assert claimed.control == f"ipc://{folder}/c"
    with pytest.raises(StartError, match="another wspulse"):
        claim(f"ipc://{folder}/c", runtime_dir)
    claimed.release()


@pytest.mark.parametrize("name", ["c", "c.events"])
def test_socket_that_a_crashed_server_left_goes(name: str, folder: Path, runtime_dir: RuntimeDir) -> None:
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(folder / name))
    claimed = claim(f"ipc://{folder}/c", runtime_dir)
    assert not (folder / name).exists()
    claimed.release()


@pytest.mark.parametrize("name", ["c", "c.events"])
def test_what_is_no_socket_stays_and_is_in_the_way(name: str, folder: Path, runtime_dir: RuntimeDir) -> None:
    (folder / name).write_text("precious")
    with pytest.raises(StartError, match=f"{folder}/{name} exists and is not a socket; remove it or choose another"):
        claim(f"ipc://{folder}/c", runtime_dir)
    assert (folder / name).read_text() == "precious"
    (folder / name).unlink()
    claim(f"ipc://{folder}/c", runtime_dir).release()  # the refusal has let go of the lock


def test_socket_at_which_another_program_listens_stays(folder: Path, runtime_dir: RuntimeDir) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(folder / "c"))
        other.listen()
        with pytest.raises(StartError, match=f"another program listens at {folder}/c; choose another --control"):
            claim(f"ipc://{folder}/c", runtime_dir)
        assert (folder / "c").exists()


def test_socket_that_is_no_stream_is_not_taken_for_a_crashed_servers(folder: Path, runtime_dir: RuntimeDir) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(folder / "c"))
        with pytest.raises(StartError, match=f"{folder}/c is another program's socket: .*; choose another --control"):
            claim(f"ipc://{folder}/c", runtime_dir)
        assert (folder / "c").exists()


@pytest.mark.timeout(10)
def test_listener_that_accepts_nobody_for_now_is_another_program_all_the_same(
    folder: Path, runtime_dir: RuntimeDir
) -> None:
    with ExitStack() as sockets:
        other = sockets.enter_context(socket.socket(socket.AF_UNIX))
        other.bind(str(folder / "c"))
        other.listen(0)
        while True:
            waiting = sockets.enter_context(socket.socket(socket.AF_UNIX))
            waiting.setblocking(False)
            if waiting.connect_ex(str(folder / "c")) != 0:
                break
        with pytest.raises(StartError, match=f"another program listens at {folder}/c; choose another --control"):
            claim(f"ipc://{folder}/c", runtime_dir)
        assert (folder / "c").exists()


def test_folder_must_be_there_be_a_folder_and_not_be_writable_by_others(folder: Path, runtime_dir: RuntimeDir) -> None:
    with pytest.raises(SettingError, match=f"--control: its folder {folder}/none: No such file or directory"):
        claim(f"ipc://{folder}/none/c", runtime_dir)
    (folder / "file").touch()
    with pytest.raises(SettingError, match=f"{folder}/file is not a folder"):
        claim(f"ipc://{folder}/file/c", runtime_dir)
    for mode in (0o720, 0o702):
        folder.chmod(mode)
        with pytest.raises(SettingError, match=f"other users can write to its folder {folder}; make a folder of"):
            claim(f"ipc://{folder}/c", runtime_dir)
    folder.chmod(0o755)
    claim(f"ipc://{folder}/c", runtime_dir).release()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_folder_of_somebody_else_is_refused(folder: Path, runtime_dir: RuntimeDir) -> None:
    os.chown(folder, 12345, -1)
    with pytest.raises(SettingError, match="belongs to user 12345, not to user 0"):
        claim(f"ipc://{folder}/c", runtime_dir)


def test_path_that_is_too_long_for_a_socket_is_refused(folder: Path, runtime_dir: RuntimeDir) -> None:
    """The events' name needs seven bytes more than the control socket's."""
    most = 103 if sys.platform == "darwin" else 107
    room = most - len(os.fsencode(folder)) - len("/.events")
    with pytest.raises(SettingError, match=f"makes socket paths {most + 1} bytes long; the limit is {most}"):
        claim(f"ipc://{folder}/{'c' * (room + 1)}", runtime_dir)
    claim(f"ipc://{folder}/{'c' * room}", runtime_dir).release()


def test_bound_socket_is_for_this_user_alone(folder: Path, router: zmq.Socket[bytes]) -> None:
    mask = os.umask(0)
    try:
        assert bind_private(router, f"ipc://{folder}/c") == f"ipc://{folder}/c"
        assert os.umask(0) == 0, "the mask is as it was"
    finally:
        os.umask(mask)
    assert stat.S_IMODE((folder / "c").stat().st_mode) == 0o600


def test_bound_address_has_its_real_port(router: zmq.Socket[bytes]) -> None:
    address = bind_private(router, "tcp://127.0.0.1:*")
    port = int(address.removeprefix("tcp://127.0.0.1:"))
    socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_address_that_is_taken_is_an_error_that_says_what_to_do(router: zmq.Socket[bytes]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(
            StartError, match=f"the control socket {taken} cannot be bound: .*; choose another --control"
        ):
            bind_private(router, taken)


@pytest.mark.parametrize(
    ("port", "control", "events"),
    [("00", "*", "*"), ("00000", "*", "*"), ("05555", "5555", "5556"), ("1", "1", "2")],
)
def test_port_is_a_number_however_it_is_written(port: str, control: str, events: str, runtime_dir: RuntimeDir) -> None:
    claimed = claim_endpoint(f"tcp://127.0.0.1:{port}", runtime_dir, has_keys=False)
    assert (claimed.control, claimed.events) == (f"tcp://127.0.0.1:{control}", f"tcp://127.0.0.1:{events}")


def test_refusal_leaves_no_lock_file(folder: Path, runtime_dir: RuntimeDir) -> None:
    (folder / "c.events").write_text("precious")
    with pytest.raises(StartError, match="is not a socket"):
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


def test_address_is_taken_while_somebody_is_there(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(f"{folder}/c")
        other.listen()
        assert is_taken(f"ipc://{folder}/c")
    assert not is_taken(f"ipc://{folder}/c"), "a crashed server's"
    assert not is_taken(f"ipc://{folder}/none")
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        assert is_taken(taken)
    assert not is_taken(taken)
    assert not is_taken("tcp://127.0.0.1:*")
