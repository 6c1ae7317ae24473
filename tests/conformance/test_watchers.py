"""doc/reference/protocol.md, presence: what the relay's watchers are told, wherever they and the members are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.contract.served import ServedApplication
from tests.support.contract.watcher import Watcher

pytestmark = pytest.mark.usefixtures("served")

APP = """
from wspulse.actors.apps.builtin import builtin

server = builtin("relay")
asgi = server.asgi()
"""


@asynccontextmanager
async def watcher(served: ServedApplication, name: str, room: str) -> AsyncIterator[Watcher]:
    async with await served.client(name, room=room, presence="1") as client:
        yield Watcher(client)


async def test_watcher_is_told_once_of_whoever_comes_goes_drops_and_resumes_on_any_worker(
    served: ServedApplication,
) -> None:
    room = served.new_id("room")
    names = [served.new_id("m", shard) for shard in range(served.workers)]
    async with watcher(served, there := served.new_id("ann"), room) as ann:
        await ann.sees(**{there: "connected"})
        clients = [await served.client(name, room=room, presence="1") for name in names]
        everybody = {there: "connected", **dict.fromkeys(names, "connected")}
        await ann.sees(**everybody)
        for client, name in zip(clients, names, strict=True):
            client.drop()
            await ann.sees(**{**everybody, name: "suspended"})
            async with await served.client(name, room=room, presence="1"):
                await ann.sees(**everybody)
                async with watcher(served, other := served.new_id("other"), room) as late:
                    await late.sees(**everybody, **{other: "connected"})
                    assert late.told == [], "who was there has not come"
                await ann.sees(**everybody, **{other: "suspended"})
            everybody |= {other: "suspended", name: "suspended"}
            await ann.sees(**everybody)
        counts = {name: [what for what, whom in ann.told if whom == name and what != "moved"] for name in names}
        assert counts == {name: ["came", "dropped", "resumed", "dropped"] for name in names}


async def test_session_that_resumes_on_another_host_neither_goes_nor_comes(served: ServedApplication) -> None:
    room, bob = served.new_id("room"), served.new_id("bob")
    async with watcher(served, ann := served.new_id("ann"), room) as watching:
        await watching.sees(**{ann: "connected"})
        for _ in range(4):
            # Whoever dials next dials the next host.
            async with watcher(served, bob, room) as walking:
                await walking.sees(**{ann: "connected", bob: "connected"})
                await watching.sees(**{ann: "connected", bob: "connected"})
                assert walking.told == []
                walking.client.drop()
                await watching.sees(**{ann: "connected", bob: "suspended"})
        seen = [what for what, whom in watching.told if whom == bob and what != "moved"]
        assert seen == ["came", "dropped", *["resumed", "dropped"] * 3]
        assert (("moved", bob) in watching.told) == (watching.host is not None)
