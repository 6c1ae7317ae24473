"""The workers' listeners, seat by seat, and when their files are removed. The workers are pretended."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from wspulse.supervisor.errors import StartError
from wspulse.supervisor.premises.mailbox_listeners import MailboxListeners


class Stage:
    """The listeners of two seats, and of which their workers were told."""

    def __init__(self, folder: Path) -> None:
        self.told: list[tuple[int, socket.socket]] = []
        self.deaf: set[int] = set()
        self.listeners = MailboxListeners("socket to the workers", self._move)
        for seat in range(2):
            self.listeners.open(seat, str(folder / f"mailbox-{seat}"))

    @property
    def paths(self) -> list[str]:
        return list(self.listeners.paths.values())

    def _move(self, seat: int, listener: socket.socket) -> bool:
        self.told.append((seat, listener))
        return seat not in self.deaf


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    try:
        yield made
    finally:
        made.listeners.close()


def accepts(path: str, listener: socket.socket) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        listener.accept()[0].close()
    return True


def test_listener_without_its_file_is_opened_again_and_its_worker_is_told(stage: Stage) -> None:
    listeners = stage.listeners
    former = dict(listeners.listeners)
    Path(listeners.paths[1]).unlink()
    listeners.restore([listeners.paths[1]])
    assert listeners.listeners[0] is former[0]
    assert former[1].fileno() == -1
    assert accepts(listeners.paths[1], listeners.listeners[1])
    assert stage.told == [(1, listeners.listeners[1])]
    listeners.restore([])
    assert len(stage.told) == 1


def test_socket_of_somebody_else_in_its_place_goes_and_what_is_no_socket_stays(stage: Stage) -> None:
    listeners = stage.listeners
    for path in stage.paths:
        Path(path).unlink()
    with socket.socket(socket.AF_UNIX) as foreign:
        foreign.bind(listeners.paths[1])
        Path(listeners.paths[0]).write_text("precious")
        with pytest.raises(StartError, match="mailbox-0 cannot be opened: Address already in use"):
            listeners.restore(stage.paths)
    assert accepts(listeners.paths[1], listeners.listeners[1]), "the other one is opened all the same"
    assert Path(listeners.paths[0]).read_text() == "precious"
    assert [seat for seat, _ in stage.told] == [1]


def test_worker_that_reads_nothing_is_told_again(stage: Stage) -> None:
    listeners = stage.listeners
    for path in stage.paths:
        Path(path).unlink()
    stage.deaf = {0}
    with pytest.raises(OSError, match="the worker at seat 0 does not read its messages"):
        listeners.restore(stage.paths)
    stage.deaf = set()
    listeners.restore([])
    assert [seat for seat, _ in stage.told] == [0, 1, 0]


def test_seat_that_is_closed_leaves_no_file_and_nothing_to_look_after(stage: Stage) -> None:
    listeners = stage.listeners
    path, listener = listeners.paths[1], listeners.listeners[1]
    assert listeners.kept.paths == tuple(stage.paths)
    listeners.close_seat(1)
    assert not Path(path).exists()
    assert listener.fileno() == -1
    assert listeners.kept.paths == (listeners.paths[0],)
    listeners.open(1, path)
    assert accepts(path, listeners.listeners[1])
    assert listeners.kept.missing() == [], "the next one there is ours as well"


def test_folder_that_is_not_there_is_an_error_of_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"the mailbox .*/none/mailbox-0 cannot be opened: No such file or directory"):
        Stage(tmp_path / "none")
