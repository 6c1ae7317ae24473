"""Descriptors for the workers that are asked for."""

from __future__ import annotations

import resource

import pytest

from wspulse.supervisor.errors import StartError
from wspulse.supervisor.host import descriptor_limit
from wspulse.supervisor.host.descriptor_limit import check_descriptors, raise_descriptor_limit


def test_soft_limit_is_raised_to_the_hard_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, hard), hard))
        raise_descriptor_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_workers_than_descriptors_is_told_with_the_number_that_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptor_limit, "raise_descriptor_limit", lambda: 256)
    check_descriptors(38)
    with pytest.raises(StartError, match=r"39 workers need more descriptors .* \(256\).* use at most --workers 38"):
        check_descriptors(39)
