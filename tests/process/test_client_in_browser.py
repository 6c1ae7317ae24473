"""`wspulse.js` in Chromium, imported from a server: the scenarios of both clients, from pages of every kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.clients.scripted_server import ScriptedServer, scenarios
from tests.support.processes.browser import Browser, find_chromium
from wspulse import Connection, Frame, Request, Server
from wspulse.actors.apps.builtin import builtin

CHROMIUM = find_chromium()

pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="no Chromium here (Debian: apt-get install chromium); scripts/test installs it where it may",
)

PLAYER = Path(__file__).parents[1] / "clients" / "javascript" / "scenario.mjs"

FROM_THE_NETWORK = "net::ERR_"
"""What a browser itself logs of dials that fail, which scenarios are about."""


def identify(request: Request) -> tuple[str, str]:
    return "lobby", request.query.get("id", "")


async def test_scenarios_in_a_page_that_is_a_file(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    problems = {}
    async with Server(identify).serve() as server, Browser.start(CHROMIUM) as browser:
        player = PLAYER.read_text("utf-8").replace("export async function", "async function")
        page = tmp_path / "page.html"
        page.write_text(
            f'<!doctype html><script type="module">\nimport {{ connect }} from "http://127.0.0.1:{server.port}/wspulse.js";\n'
            f"{player}\nwindow.play = (scenario, server) => play(scenario, server, connect);\n</script>"
        )
        played_here = [each for each in scenarios() if "javascript" in each.get("only", ["javascript"])]
        for number, scenario in enumerate(played_here):
            if number % 8 == 0:
                opened = await browser.open(page.as_uri())  # Chromium makes a page wait whose dials have failed often
                await opened.until("!!window.play")
            async with ScriptedServer(scenario) as scripted:
                played = f"play({json.dumps(scenario)}, 'http://127.0.0.1:{scripted.port}')"
                found = await opened.evaluate(played)
            found += [text for text in opened.complaints if FROM_THE_NETWORK not in text and "WebSocket" not in text]
            opened.complaints.clear()
            if found:
                problems[scenario["name"]] = found
    assert problems == {}


async def test_pages_of_its_own_under_a_strict_policy_and_pages_of_others_import_it() -> None:
    assert CHROMIUM is not None
    talk = """
        import({from}).then(async ({{ connect }}) => {{
            const line = connect({to}, {{ exact: false }});
            const heard = new Promise((resolve) => line.on("said", resolve));
            line.send("said", "hello");
            const answer = await heard;
            line.close();
            return [answer, (await line.closed).code];
        }})
    """
    relay = builtin("relay")
    assert relay is not None
    async with relay.serve() as server, Server(identify).serve() as other, Browser.start(CHROMIUM) as browser:
        own = f"http://127.0.0.1:{server.port}"
        for page, source, target in (
            (f"{own}/", "'/wspulse.js'", "'/ws'"),  # the chat page's policy allows nothing but what is its own
            (f"http://localhost:{other.port}/healthz", f"'{own}/wspulse.js'", f"'{own}/ws#part'"),
        ):
            opened = await browser.open(page)
            assert await opened.evaluate(talk.format(**{"from": source, "to": target})) == ["hello", 1000]
            assert [text for text in opened.complaints if "favicon" not in text and "404" not in text] == []


async def test_browser_and_server_compress_and_a_line_that_is_cut_loses_nothing() -> None:
    assert CHROMIUM is not None
    heard: list[Any] = []
    server = Server(identify, compression="deflate", resume_window=20, max_message_size=20_000)

    @server.on_message
    async def answer(connection: Connection, frame: Frame) -> None:
        heard.append(frame.decode())
        await connection.send(Frame("answer", heard[-1]))
        if len(heard) == 2:
            # What it has sent meanwhile, and what it has not taken, is lost with the socket.
            transport = server._running().shard.sessions["ada"].transport
            assert transport is not None
            transport.abort()

    said = "größer 🎈 " * 200
    async with server.serve() as running, Browser.start(CHROMIUM) as browser:
        page = await browser.open(f"http://127.0.0.1:{running.port}/healthz")
        found = await page.evaluate(f"""
            import("/wspulse.js").then(async ({{ connect }}) => {{
                const socket = new WebSocket("/ws?id=other");
                await new Promise((resolve) => {{ socket.onopen = resolve; }});
                const line = connect("/ws?id=ada");
                const got = [];
                const all = new Promise((resolve) => line.on("answer", (payload) => got.push(payload) === 4 && resolve()));
                for (let number = 0; number < 4; number += 1) line.send("said", number + {json.dumps(said)});
                await all;
                return [socket.extensions, got];
            }})
        """)
        extensions, got = found
        assert extensions == "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        assert heard == got == [f"{number}{said}" for number in range(4)]
        assert server._running().shard.metrics.upgrades == 3
