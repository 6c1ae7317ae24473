"""contract §3, Resume: drops, dials, kicks and ends of windows that meet, each run many times."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any

import pytest

from tests.conformance.conftest import SHORT_WINDOW_S
from tests.support.contract.client import Client
from tests.support.contract.server import ContractServer


@pytest.mark.race
async def test_two_dials_and_a_kick_on_an_id_whose_socket_drops_leave_one_session_at_most(
    resuming: ContractServer, race_rounds: int, draw: Random
) -> None:
    async with await resuming.client(resuming.new_id("boss"), "bosses") as boss:
        for _ in range(2 * race_rounds):
            name, room = resuming.new_id("dropping"), resuming.new_id("room")
            first = await resuming.client(name, room)

            async def later(action: Coroutine[Any, Any, Any]) -> Any:
                await asyncio.sleep(draw.uniform(0, 0.004))
                return await action

            first.drop()
            one, two, kicked = await asyncio.gather(
                later(resuming.client(name, room)),
                later(resuming.client(name, room)),
                later(boss.order("kick", id=name)),
            )
            assert kicked is None or kicked["error"] == "ConnectionNotFoundError"
            assert await boss.order("list_room", room=room) in ([], [name])
            await boss.order("kick", id=name)
            assert await boss.order("list_room", room=room) == []
            for client in (one, two):
                assert await client.closed() in ((1000, "kicked"), (1000, "duplicate connection id"))
            for kinds in (await _sessions_that_ended(resuming, name)).values():
                assert kinds.count("disconnect") == 1
                check_story(kinds)


async def _sessions_that_ended(server: ContractServer, name: str) -> dict[str, list[str]]:
    """Every session that an id has had, when all have ended; whatever became of their other callbacks."""
    sessions: dict[str, list[str]] = await server.notes.until(
        lambda: _all_ended(server.notes.of(name)), "each session has had its on_disconnect"
    )
    return sessions


def _all_ended(entries: list[dict[str, Any]]) -> dict[str, list[str]] | None:
    """What was called, by session; None while one has not ended."""
    sessions: dict[str, list[str]] = {}
    for entry in entries:
        sessions.setdefault(entry["session"], []).append(entry["kind"])
    return sessions if sessions and all(kinds[-1] == "disconnect" for kinds in sessions.values()) else None


@pytest.mark.race
async def test_new_transport_that_dies_in_mid_replay_keeps_order_and_repeats_nothing(
    resuming: ContractServer, race_rounds: int
) -> None:
    async with await resuming.client(resuming.new_id("boss"), "bosses") as boss:
        for _ in range(race_rounds):
            name, room = resuming.new_id("replay"), resuming.new_id("room")
            await resuming.suspended(name, room)
            await boss.order("send_many", to=name, count=64, size=20_000)
            seen: list[int] = []
            for stop_after in (1, 2, 5):
                client = await resuming.client(name, room)
                # What comes before the answer to this was replayed.
                await client.send("echo", "end of the replay")
                for _ in range(stop_after):
                    frame = await client.receive()
                    if frame["event"] == "echo":
                        break
                    seen.append(frame["payload"][0])
                await resuming.drop(client, name)
            assert seen == sorted(set(seen)), "a frame came twice or out of order"
            await boss.order("kick", id=name)


@pytest.mark.race
async def test_kick_that_races_the_windows_end_fires_one_disconnect(
    expiring: ContractServer, race_rounds: int, draw: Random
) -> None:
    async with await expiring.client(expiring.new_id("boss"), "bosses") as boss:

        async def once(late_s: float) -> None:
            name = expiring.new_id("race")
            await expiring.suspended(name, "race")
            await asyncio.sleep(SHORT_WINDOW_S + late_s)  # where the window ends
            await boss_order(boss, name)
            await expiring.notes.ended(name)
            assert expiring.notes.kinds(name) == ["connect", "drop", "disconnect"]

        lock = asyncio.Lock()

        async def boss_order(client: Client, name: str) -> None:
            async with lock:
                result = await client.order("kick", id=name)
            assert result is None or result["error"] == "ConnectionNotFoundError"

        for _ in range(race_rounds):
            await asyncio.gather(*(once(draw.uniform(-0.03, 0.03)) for _ in range(10)))


@pytest.mark.race
async def test_close_of_a_suspended_session_that_races_a_reconnect_keeps_the_count(
    resuming: ContractServer, race_rounds: int
) -> None:
    """One on_disconnect of each session, whoever wins."""
    async with await resuming.client(resuming.new_id("boss"), "bosses") as boss:
        for _ in range(race_rounds):
            check_story(await kicked_and_back(resuming, boss))


async def kicked_and_back(resuming: ContractServer, boss: Client) -> list[str]:
    """40 cycles of one session, or of one after another; what was called, when all have ended."""
    name, room = resuming.new_id("cycle"), resuming.new_id("room")
    client = await resuming.client(name, room)
    for _ in range(40):
        client.drop()
        await resuming.notes.until(
            lambda: resuming.notes.kinds(name)[-1:] in (["drop"], ["disconnect"]), "the session is suspended or gone"
        )
        closing = asyncio.create_task(boss.order("kick", id=name))
        client = await resuming.client(name, room)
        await closing
    await boss.order("close_room", room=room)
    sessions = await _sessions_that_ended(resuming, name)
    assert all(kinds.count("disconnect") == 1 for kinds in sessions.values())
    client.drop()
    return resuming.notes.kinds(name)


def check_story(kinds: list[str]) -> None:
    """on_connect → [drop → restore]* → on_disconnect, again and again."""
    allowed = {
        # The application may end a session before its on_connect ran; then it hears of the end alone.
        "": {"connect", "disconnect"},
        "connect": {"drop", "disconnect"},
        "drop": {"restore", "disconnect"},
        "restore": {"drop", "disconnect"},
        "disconnect": {"connect", "disconnect"},
    }
    last = ""
    for kind in kinds:
        assert kind in allowed[last], f"{kind} after {last or 'nothing'}"
        last = kind


@pytest.mark.race
async def test_numbered_frames_to_a_peer_that_drops_and_resumes_keep_their_order(
    resuming: ContractServer, race_rounds: int, draw: Random
) -> None:
    name, room = resuming.new_id("numbered"), resuming.new_id("room")
    drops = 10 * race_rounds
    async with await resuming.client(resuming.new_id("boss"), "bosses") as boss:
        client = await resuming.client(name, room)
        seen: list[int] = []
        breaks: list[int] = []
        number = await boss.order_only("number_until_gone", room=room, id=name)
        for _ in range(drops):
            seen += [(await client.expect("numbered"))[0] for _ in range(draw.randrange(1, 30))]
            breaks.append(len(seen))
            await resuming.drop(client, name)
            client = await resuming.client(name, room)
        async with await resuming.client(resuming.new_id("other"), "bosses") as other:
            await other.order("kick", id=name)
        assert await boss.answer(number) > seen[-1]
        gaps = [index for index in range(1, len(seen)) if seen[index] != seen[index - 1] + 1]
        assert all(seen[index] > seen[index - 1] for index in range(1, len(seen))), "not strictly increasing"
        assert set(gaps) <= set(breaks), f"gaps elsewhere than at drops: {sorted(set(gaps) - set(breaks))}"
        assert await client.closed() == (1000, "kicked")
