"""What the exit code of a worker means; that its end is noticed is shown with real ones, in `test_worker_process`."""

from __future__ import annotations

from pathlib import Path

import pytest

from wspulse.supervisor.process.watching.end_watch import exit_sentence


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (0, "ended with exit code 0"),
        (7, "ended with exit code 7"),
        (-9, "was killed by SIGKILL"),
        (-11, "was killed by SIGSEGV"),
        (-63, "was killed by signal 63"),
    ],
)
def test_exit_code_becomes_a_sentence(code: int, sentence: str) -> None:
    assert exit_sentence(code) == sentence


def test_exit_code_that_says_nothing_is_told_with_what_can_be_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    assert exit_sentence(255) == (
        "ended with exit code 255: the application exited with it, or the system could not execute it"
    )
    monkeypatch.setattr("multiprocessing.spawn._python_exe", str(python))
    assert exit_sentence(255) == f"ended with exit code 255: {python} cannot be executed (No such file or directory)"
    python.touch(mode=0o600)
    assert exit_sentence(255) == f"ended with exit code 255: {python} cannot be executed (Permission denied)"
