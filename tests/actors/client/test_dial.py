"""What goes into the upgrade: headers, proxies and TLS of the program's, and what is offered."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from tests.actors.client.stage import HastyClock, line_to, scripted
from wspulse.actors.client.dial import websocket_url
from wspulse.client import RawCodec, Retry, connect


async def test_options_of_websockets_pass_through(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    async def open_websocket(url: str, **options: Any) -> None:
        seen.update(options, url=url)
        raise OSError("not there")

    monkeypatch.setattr("wspulse.actors.client.dial.open_websocket", open_websocket)
    context = ssl.create_default_context()
    options: dict[str, Any] = {
        "additional_headers": {"Authorization": "Bearer 1"},
        "ssl": context,
        "proxy": "http://proxy:3128",
        "max_size": 5,
    }
    async with connect("https://example.com/ws", subprotocols=["chat"], retry=Retry(limit=0), **options) as line:
        await line.closed
    assert seen.items() >= options.items()
    assert (seen["url"], seen["subprotocols"], seen["compression"]) == (
        "wss://example.com/ws",
        ["wspulse.1", "chat"],
        None,
    )


async def test_headers_arrive() -> None:
    async with scripted([{"session": {}}]) as server:
        fields: dict[str, str] = {}
        accept = server._play

        async def play(number: int, peer: Any) -> None:
            fields.update(peer.fields)
            await accept(number, peer)

        server._play = play  # type: ignore[method-assign]
        async with line_to(server, additional_headers={"X-Token": "1"}, origin="https://example.com") as line:
            await line.ready
    assert (fields["x-token"], fields["origin"]) == ("1", "https://example.com")


@pytest.mark.parametrize(
    ("options", "offers"), [({"exact": False}, []), ({"codec": RawCodec(), "subprotocols": ["a"]}, ["a"])]
)
async def test_line_that_cannot_be_exact_offers_nothing_of_its_own(options: dict[str, Any], offers: list[str]) -> None:
    async with scripted([{"offers": offers}, {"subprotocol": None}, {"accept": True}]) as server:
        async with line_to(server, **options) as line:
            await line.ready
            assert not line.exact
            assert line.id == ""
        assert (await server.report())["ok"]


async def test_answer_that_does_not_come_in_time_is_a_failed_try() -> None:
    async with (
        scripted([{"silence_s": 0.3}]) as server,
        line_to(server, open_timeout=0.05, clock=HastyClock(), retry=Retry(limit=0)) as line,
    ):
        assert await line.closed == (1006, "no answer in time")


@pytest.mark.parametrize(
    ("given", "dialled"),
    [("http://a/b", "ws://a/b"), ("HTTPS://a", "wss://a"), ("ws://a", "ws://a"), ("wss://http://", "wss://http://")],
)
def test_address_of_a_page_is_that_of_a_socket(given: str, dialled: str) -> None:
    assert websocket_url(given) == dialled
