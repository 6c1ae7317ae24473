"""What an end is called."""

from __future__ import annotations

import pytest

from wspulse.supervisor.process.worker_process import exit_sentence


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
