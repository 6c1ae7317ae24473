"""Lock files: one holder at a time, and what a file is worth that goes away meanwhile."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from wspulse.supervisor.errors import StartError
from wspulse.supervisor.premises.lock import LockContestedError, LockHeldError, take_lock

real_flock = fcntl.flock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@pytest.fixture
def before_flock(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Has something happen between the opening of the file and each attempt to lock it."""

    def happens(what: Callable[[], object]) -> None:
        def flock(lock: int, operation: int) -> None:
            what()
            real_flock(lock, operation)

        monkeypatch.setattr(fcntl, "flock", flock)

    return happens


def is_at(lock: int, path: Path) -> bool:
    return os.path.samestat(os.fstat(lock), path.lstat())


def test_second_holder_is_refused_with_what_the_first_has_written(path: Path) -> None:
    first = take_lock(path)
    os.pwrite(first, b"4711 2\n", 0)
    with pytest.raises(LockHeldError) as caught:
        take_lock(path)
    assert caught.value.text == b"4711 2\n"
    os.close(first)


def test_lock_of_a_crashed_holder_is_taken_over_with_its_text(path: Path) -> None:
    crashed = take_lock(path)
    os.pwrite(crashed, b"4711 2\n", 0)
    os.close(crashed)
    lock = take_lock(path)
    assert os.pread(lock, 100, 0) == b"4711 2\n"
    os.close(lock)


def test_file_that_its_owner_removed_meanwhile_is_not_taken_for_the_lock(
    path: Path, before_flock: Callable[[Callable[[], object]], None]
) -> None:
    ends = [path.unlink]

    def end() -> None:
        if ends:
            ends.pop()()

    before_flock(end)
    lock = take_lock(path)
    assert is_at(lock, path)
    os.close(lock)


def test_file_that_was_removed_and_made_anew_meanwhile_is_its_new_owners(
    path: Path, before_flock: Callable[[Callable[[], object]], None]
) -> None:
    owners: list[int] = []

    def change_owners() -> None:
        if not owners:
            path.unlink()
            owners.append(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            real_flock(owners[0], fcntl.LOCK_EX)

    before_flock(change_owners)
    with pytest.raises(LockHeldError):
        take_lock(path)
    assert is_at(owners[0], path)
    os.close(owners[0])


def test_lock_is_given_up_when_every_attempt_is_lost(
    path: Path, before_flock: Callable[[Callable[[], object]], None]
) -> None:
    lost: list[Path] = []

    def lose() -> None:
        path.unlink()
        lost.append(path)

    before_flock(lose)
    with pytest.raises(LockContestedError):
        take_lock(path)
    assert len(lost) == 10


def test_folder_that_goes_away_meanwhile_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lock"
    attempts: list[None] = []

    def make_at_the_second_attempt() -> None:
        attempts.append(None)
        if len(attempts) == 2:
            path.parent.mkdir()

    lock = take_lock(path, make_folder=make_at_the_second_attempt)
    assert is_at(lock, path)
    os.close(lock)


def test_missing_folder_that_nobody_makes_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "none" / "lock"
    with pytest.raises(StartError, match=f"the lock file {path} cannot be opened: No such file or directory"):
        take_lock(path)


def test_lock_is_for_this_user_alone_and_closed_in_other_programs(path: Path) -> None:
    lock = take_lock(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert fcntl.fcntl(lock, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    os.close(lock)


def test_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    path.symlink_to(target)
    with pytest.raises(StartError, match=f"the lock file {path} cannot be opened"):
        take_lock(path)
    assert not target.exists()


def test_file_that_cannot_be_looked_at_is_an_error_and_leaves_no_descriptor(
    tmp_path: Path, before_flock: Callable[[Callable[[], object]], None]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()

    def replace_folder_by_a_file() -> None:
        folder.rename(tmp_path / "elsewhere")
        folder.touch()

    before_flock(replace_folder_by_a_file)
    with pytest.raises(StartError, match="cannot be examined: Not a directory"):
        take_lock(folder / "lock")


def test_file_that_cannot_be_locked_is_an_error_and_not_taken_for_held(
    path: Path, before_flock: Callable[[Callable[[], object]], None]
) -> None:
    def no_locks() -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    before_flock(no_locks)
    with pytest.raises(StartError, match=f"the lock file {path} cannot be locked: No locks available"):
        take_lock(path)
