"""uvicorn's lines that any client of the HTTP application can cause: few of each kind."""

from __future__ import annotations

import logging

import pytest

from tests.support.http.http_site import site, statuses


async def test_strangers_fill_no_log_with_what_cannot_be_read(
    implementation: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with site() as served:
        for _ in range(40):
            assert statuses(await served.answer_to(b"GET /hello HTTP/1.1\r\nno colon\r\n\r\n")) == [b"400"]
    lines = [record for record in caplog.records if "Invalid HTTP request" in record.message]
    assert 1 <= len(lines) <= 10  # five in each of the windows that this may touch
    assert not logging.getLogger("uvicorn.error").filters


async def test_requests_that_make_the_application_raise_fill_no_log(
    implementation: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with site() as served:
        for _ in range(40):
            failing = b"GET /fail HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            assert statuses(await served.answer_to(failing)) == [b"500"]
        assert statuses(await served.answer_to(b"GET /hello HTTP/1.1\r\nno colon\r\n\r\n")) == [b"400"]
    failures = [record for record in caplog.records if "Exception in ASGI application" in record.message]
    assert 1 <= len(failures) <= 10  # five in each of the windows that this may touch
    assert [record for record in caplog.records if "Invalid HTTP request" in record.message], "one kind hides no other"


async def test_lines_of_the_application_by_uvicorns_logger_are_all_there(
    implementation: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "uvicorn.error")
    log = logging.getLogger("uvicorn.error")
    async with site():
        for _ in range(20):
            log.info("an order was paid")
        log.info({"neither": "a text"})
    lines = [record.getMessage() for record in caplog.records if record.pathname == __file__]
    assert lines == ["an order was paid"] * 20 + ["{'neither': 'a text'}"]


async def test_refusal_on_a_connection_of_the_application_is_counted_and_told(
    implementation: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with site() as served:
        answers = await served.answer_to(
            b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /ws?token=secret HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        )
        assert statuses(answers) == [b"200", b"426"]
        metrics = served.shard.metrics
        assert (metrics.upgrades_refused, metrics.refused_426) == (1, 1)
        answers = await served.answer_to(
            b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        assert statuses(answers) == [b"200", b"200"]
        assert metrics.upgrades_refused == 1
