"""The runtime directory: whose it is, and what a start finds in it."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import stat
import threading
from pathlib import Path

import pytest

from wspulse.supervisor.errors import StartError
from wspulse.supervisor.premises import runtime_dir as module
from wspulse.supervisor.premises.runtime_dir import Predecessor, RuntimeDir, find_predecessor


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "run").mkdir(mode=0o700)
    return {"XDG_RUNTIME_DIR": str(tmp_path / "run")}


def bind(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)


def crash(claimed: RuntimeDir) -> None:
    """What is left when the owner is killed: the kernel releases the lock, the files stay."""
    os.close(claimed._lock)


def test_fresh_folder_is_ours_alone_and_gone_after_release(environ: dict[str, str]) -> None:
    claimed = RuntimeDir.claim(8000, environ)
    assert claimed.path == Path(environ["XDG_RUNTIME_DIR"]) / "wspulse" / "8000"
    assert stat.S_IMODE(claimed.path.stat().st_mode) == 0o700
    assert not claimed.after_crash
    bind(claimed.socket_path("mailbox-0"))
    claimed.release()
    assert not claimed.path.exists()


def test_second_server_is_refused_with_the_pid_of_the_first(environ: dict[str, str]) -> None:
    claimed = RuntimeDir.claim(8000, environ)
    with pytest.raises(StartError, match=rf"another wspulse server \(pid {os.getpid()}\) uses port 8000; stop it or"):
        RuntimeDir.claim(8000, environ)
    RuntimeDir.claim(8001, environ).release()
    claimed.release()


def test_folder_of_a_crashed_server_is_cleaned_and_its_names_are_not_used_again(environ: dict[str, str]) -> None:
    crashed = RuntimeDir.claim(8000, environ)
    old_name = crashed.socket_path("mailbox-0")
    bind(old_name)
    crash(crashed)
    claimed = RuntimeDir.claim(8000, environ)
    assert claimed.after_crash
    assert claimed.run == crashed.run + 1
    assert claimed.last_incarnation - crashed.last_incarnation >= 1_000_000, (
        "no worker of this run has a number of one before"
    )
    assert not Path(old_name).exists()
    assert claimed.socket_path("mailbox-0") != old_name
    claimed.release()


def test_orderly_end_is_no_crash(environ: dict[str, str]) -> None:
    RuntimeDir.claim(8000, environ).release()
    claimed = RuntimeDir.claim(8000, environ)
    assert not claimed.after_crash
    claimed.release()


def test_lock_file_with_rubbish_counts_as_a_crash(environ: dict[str, str]) -> None:
    crash(RuntimeDir.claim(8000, environ))
    (Path(environ["XDG_RUNTIME_DIR"]) / "wspulse/8000/lock").write_text("rubbish")
    claimed = RuntimeDir.claim(8000, environ)
    assert claimed.after_crash
    claimed.release()


def test_files_that_are_no_sockets_are_left_alone(environ: dict[str, str]) -> None:
    claimed = RuntimeDir.claim(8000, environ)
    (claimed.path / "notes").write_text("mine")
    claimed.release()
    assert (claimed.path / "notes").exists()
    RuntimeDir.claim(8000, environ).release()


def test_folder_open_to_others_is_refused(environ: dict[str, str]) -> None:
    folder = Path(environ["XDG_RUNTIME_DIR"]) / "wspulse"
    folder.mkdir()
    folder.chmod(0o770)
    with pytest.raises(StartError, match=r"is accessible to other users \(mode 0770\); run chmod 700"):
        RuntimeDir.claim(8000, environ)


def test_file_in_the_folders_place_is_refused(environ: dict[str, str]) -> None:
    (Path(environ["XDG_RUNTIME_DIR"]) / "wspulse").write_text("")
    with pytest.raises(StartError, match="is not a folder"):
        RuntimeDir.claim(8000, environ)


def test_link_in_the_folders_place_is_refused(environ: dict[str, str], tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (Path(environ["XDG_RUNTIME_DIR"]) / "wspulse").symlink_to(elsewhere)
    with pytest.raises(StartError, match="is not a folder"):
        RuntimeDir.claim(8000, environ)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_folder_of_somebody_else_is_refused(environ: dict[str, str]) -> None:
    folder = Path(environ["XDG_RUNTIME_DIR"]) / "wspulse"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, -1)
    with pytest.raises(StartError, match="belongs to user 12345, not to user 0; remove it or set XDG_RUNTIME_DIR"):
        RuntimeDir.claim(8000, environ)


@pytest.mark.parametrize("named", ["", "relative/run", "/nonexistent/run", "/dev/null"])
def test_unusable_xdg_runtime_dir_falls_back(named: str) -> None:
    assert module._base({"XDG_RUNTIME_DIR": named}, "8000") == Path(f"/tmp/wspulse-{os.geteuid()}")


def test_folder_too_deep_for_unix_sockets_falls_back(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60)
    deep.mkdir(mode=0o700)
    assert module._base({"XDG_RUNTIME_DIR": str(deep)}, "65535") == Path(f"/tmp/wspulse-{os.geteuid()}")


def test_longest_socket_path_can_be_bound(tmp_path: Path) -> None:
    """The check of the length and the names that are really used must agree."""
    longest = len(os.fsencode(tmp_path / module.LONGEST_SOCKET_NAME))
    folder = tmp_path / ("d" * (module.MAX_SOCKET_PATH_BYTES - longest - 1))
    folder.mkdir()
    assert module._why_too_long(folder) is None
    bind(str(folder / module.LONGEST_SOCKET_NAME))
    assert module._why_too_long(folder / "d") is not None


@pytest.mark.race
def test_race_of_starts_and_ends_has_one_owner_at_a_time(environ: dict[str, str], race_rounds: int) -> None:
    """A lock file that its owner deletes while another one opens it must not give two servers the same folder."""
    owners = 0
    most_owners = 0
    claims = 0
    lock = threading.Lock()

    def come_and_go() -> None:
        nonlocal owners, most_owners, claims
        for _ in range(20 * race_rounds):
            try:
                claimed = RuntimeDir.claim(8000, environ)
            except StartError:
                continue
            with lock:
                owners += 1
                claims += 1
                most_owners = max(most_owners, owners)
            with lock:
                owners -= 1
            claimed.release()

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most_owners == 1
    assert claims > 0


def test_socket_that_somebody_else_removes_meanwhile_is_gone_all_the_same(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed = RuntimeDir.claim(8000, environ)
    for name in ("a", "b"):
        bind(claimed.socket_path(name))
    real_lstat = Path.lstat

    def lstat_of_what_vanishes(path: Path) -> os.stat_result:
        if path.name == "a-0.sock":
            path.unlink()
        return real_lstat(path)

    monkeypatch.setattr(Path, "lstat", lstat_of_what_vanishes)
    claimed.release()
    assert not claimed.path.exists()


def test_folder_that_somebody_else_has_removed_is_released(environ: dict[str, str]) -> None:
    claimed = RuntimeDir.claim(8000, environ)
    shutil.rmtree(claimed.path)
    claimed.release()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(claimed._lock)


def test_folder_that_cannot_be_cleaned_is_an_error_and_not_ours(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed = RuntimeDir.claim(8000, environ)
    bind(crashed.socket_path("a"))
    crash(crashed)

    def refuse(_path: Path) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        with pytest.raises(
            StartError, match=r"the runtime directory .*/8000 cannot be prepared: Operation not permitted"
        ):
            RuntimeDir.claim(8000, environ)
    RuntimeDir.claim(8000, environ).release()


def test_folder_stays_ours_when_the_file_in_it_is_removed(environ: dict[str, str]) -> None:
    claimed = RuntimeDir.claim(8000, environ)
    bind(claimed.socket_path("mailbox-0"))
    (claimed.path / "lock").unlink()
    with pytest.raises(StartError, match="another wspulse server uses port 8000"):
        RuntimeDir.claim(8000, environ)
    assert Path(claimed.socket_path("mailbox-0")).exists()
    claimed.release()


def test_folder_that_somebody_has_removed_is_made_again_and_is_ours(environ: dict[str, str]) -> None:
    crash(RuntimeDir.claim(8000, environ))
    claimed = RuntimeDir.claim(8000, environ)
    assert claimed.restore() is False
    before = (claimed.path / "lock").read_text()
    shutil.rmtree(Path(environ["XDG_RUNTIME_DIR"]) / "wspulse")
    assert claimed.restore() is True
    assert claimed.restore() is False
    assert stat.S_IMODE(claimed.path.stat().st_mode) == 0o700
    assert (claimed.path / "lock").read_text() == before == f"{os.getpid()} 1\n"
    with pytest.raises(StartError, match="another wspulse"):
        RuntimeDir.claim(8000, environ)
    claimed.release()
    assert not claimed.path.exists()


def test_file_that_somebody_has_removed_is_written_again(environ: dict[str, str]) -> None:
    claimed = RuntimeDir.claim(8000, environ, address="127.0.0.1")
    (claimed.path / "lock").unlink()
    assert claimed.restore() is True
    assert (claimed.path / "lock").read_text() == f"{os.getpid()} 0 127.0.0.1\n"
    claimed.release()


def test_record_that_finds_no_room_is_written_when_there_is_some(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed = RuntimeDir.claim(8000, environ)
    (claimed.path / "lock").unlink()
    with monkeypatch.context() as full:
        full.setattr(os, "write", no_room)
        with pytest.raises(OSError, match="No space left"):
            claimed.restore()
    assert list(claimed.path.iterdir()) == []
    assert claimed.restore() is True
    assert (claimed.path / "lock").read_text() == f"{os.getpid()} 0\n"
    claimed.release()


def test_start_that_finds_no_room_leaves_the_names_of_a_crashed_server_unused(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    crash(RuntimeDir.claim(8000, environ))
    with monkeypatch.context() as full:
        full.setattr(os, "write", no_room)
        with pytest.raises(StartError, match="No space left"):
            RuntimeDir.claim(8000, environ)
    after = RuntimeDir.claim(8000, environ)
    assert after.run == 1
    after.release()
    assert not after.path.exists()


def no_room(_fd: int, _data: bytes) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_folder_that_another_server_has_made_in_our_folders_place_is_not_taken(environ: dict[str, str]) -> None:
    claimed = RuntimeDir.claim(8000, environ)
    shutil.rmtree(claimed.path)
    other = RuntimeDir.claim(8000, environ)
    bind(other.socket_path("mailbox-0"))
    with pytest.raises(StartError, match="now belongs to another server"):
        claimed.restore()
    claimed.release()
    assert Path(other.socket_path("mailbox-0")).exists()
    other.release()


def test_second_server_of_a_port_on_another_address_has_a_folder_beside_the_first(environ: dict[str, str]) -> None:
    first = RuntimeDir.claim(8000, environ, address="127.0.0.1")
    second = RuntimeDir.claim(8000, environ, address="127.0.0.2")
    assert (first.path.name, second.path.name) == ("8000", "8000@127.0.0.2")
    assert second.path.parent == first.path.parent
    first.release()
    second.release()
    alone = RuntimeDir.claim(8000, environ, address="127.0.0.2")
    assert alone.path.name == "8000"
    alone.release()


def test_server_that_has_a_port_is_found_by_the_address(environ: dict[str, str]) -> None:
    assert find_predecessor(8000, "127.0.0.1", environ) is None
    first = RuntimeDir.claim(8000, environ, address="127.0.0.1")
    second = RuntimeDir.claim(8000, environ, address="127.0.0.2")
    assert find_predecessor(8000, "127.0.0.1", environ) == Predecessor(first.path, os.getpid(), is_running=True)
    assert find_predecessor(8000, "0.0.0.0", environ) == Predecessor(first.path, os.getpid(), is_running=True)
    assert find_predecessor(8000, "127.0.0.3", environ) is None
    crash(second)
    assert find_predecessor(8000, "127.0.0.2", environ) == Predecessor(second.path, os.getpid(), is_running=False)
    taken_over = RuntimeDir.claim(8000, environ, address="127.0.0.2")
    assert (taken_over.path, taken_over.run) == (second.path, 1)
    taken_over.release()
    first.release()


def test_look_at_a_folder_does_not_take_it_from_who_claims_it_in_the_same_moment(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed = RuntimeDir.claim(8000, environ)
    glancing = os.open(crashed.path, os.O_RDONLY)
    crash(crashed)
    fcntl.flock(glancing, fcntl.LOCK_EX)
    monkeypatch.setattr("wspulse.supervisor.premises.lock.time.sleep", lambda _s: os.close(glancing))
    claimed = RuntimeDir.claim(8000, environ, address="127.0.0.1")
    assert claimed.path == crashed.path
    claimed.release()


def test_full_disk_is_an_error_and_the_folder_is_free(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", no_room)
        with pytest.raises(StartError, match=r"/8000 cannot be prepared: No space left on device"):
            RuntimeDir.claim(8000, environ)
    claimed = RuntimeDir.claim(8000, environ)
    assert not claimed.after_crash, "there was no server"
    claimed.release()
