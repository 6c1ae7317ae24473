"""The server's side of `scripts/moving-crowd`: it numbers all that it sends, and notes what happens to sessions.

It is what `--app` of that server is; `settings.json` in its folder says how large the crowd is, a file `go` that all are there,
and `stop` that nothing more is to be sent. Its notes are files in its folder, one for each process, a JSON list a line.

Each process has streams of its own, under its own key, and begins each with 0: to every room, to every connection by its id, and
to the connections that it was told of. How long each stream became is noted when the process ends or `stop` is there.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from secrets import token_hex
from typing import Any
from zlib import crc32

from wspulse import Accept, Connection, Frame, Request, Server

__all__ = ["server"]

KEY = token_hex(4)
"""Of this process."""

SETTINGS: dict[str, Any] = json.loads(Path("settings.json").read_text())

PULSE_S = 0.02
"""So often each process says something to those who listen for silence."""

_notes = Path(f"notes-{KEY}").open("a", buffering=1)  # noqa: SIM115 (for as long as the process lives)
_random = Random(KEY)
_rooms: Counter[str] = Counter()
_direct: Counter[str] = Counter()
_told: Counter[str] = Counter()
_known: dict[str, Connection] = {}
"""Those that began or arrived here. What has moved on stays, as an application may keep it."""
_gone: set[str] = set()
_tasks: list[asyncio.Task[None]] = []
_calls: set[asyncio.Task[None]] = set()
_is_over = asyncio.Event()
_has_totals = False


def _note(*what: Any) -> None:
    print(json.dumps(what), file=_notes)


def _connect(request: Request) -> Accept:
    room, *further = request.query["rooms"].split(",")
    name = request.query["id"]
    # A session that begins anew has streams of its own.
    return Accept(room, name, rooms=further, state={"taken": 0, "key": f"{name}.{token_hex(2)}"})


server = Server(_connect)


@server.on_start
async def begin() -> None:
    _tasks.extend(asyncio.create_task(talk) for talk in (_talk(), _call()))


@server.on_stop
async def end() -> None:
    _is_over.set()
    for task in _calls:
        task.cancel()
    # What they have begun they end, so that all that is numbered is sent.
    await asyncio.gather(*_tasks, *_calls, return_exceptions=True)
    _note_totals()


def _note_totals() -> None:
    global _has_totals  # noqa: PLW0603
    if not _has_totals:
        _has_totals = True
        _note("totals", KEY, _rooms, _direct, _told)


@server.on_connect
async def come(connection: Connection) -> None:
    _known[connection.id] = connection
    _note("connect", connection.id)


@server.on_disconnect
async def go(connection: Connection, error: BaseException | None) -> None:
    _note("disconnect", connection.id, "" if error is None else repr(error))


async def move_out(connection: Connection) -> None:
    if connection.state.get("handles"):
        _note("fault", connection.id, "it moves out while a handler runs")
    _gone.add(connection.id)
    _note("out", connection.id)


async def move_in(connection: Connection) -> None:
    _gone.discard(connection.id)
    _known[connection.id] = connection
    _note("in", connection.id)


for name, hook in {"on_transfer_out": move_out, "on_transfer_in": move_in}.items():
    getattr(server, name, lambda hook: hook)(hook)


@server.on_message
async def obey(connection: Connection, frame: Frame) -> None:
    """The payload is the client's number of the frame, what to do, and what that takes; it is answered with the number."""
    state, (number, what, *more) = connection.state, frame.decode()
    if connection.id in _gone:
        _note("fault", connection.id, f"{number} is handled where it has moved out")
    if state.get("handles"):
        _note("fault", connection.id, f"{number} is handled while another handler runs")
    if number != state.get("taken"):
        _note("fault", connection.id, f"{number} is handled instead of {state.get('taken')}")
    state["handles"] = True
    state["taken"] = number + 1
    answer: Any = None
    match what:
        case "relay":
            await _relay(connection)
        case "busy":
            # Nothing else runs; then many things do.
            until = time.monotonic() + more[0]
            while time.monotonic() < until:
                pass
            for _ in range(5):
                await _relay(connection)
        case "slow":
            await asyncio.sleep(more[0])
        case "flood":
            count, text = more[0], "é" * (more[1] // 2)
            for _ in range(count):
                await _numbered("big", connection.send, state, text)
        case "visit":
            await _visit(connection)
        case "whole":
            answer = crc32(more[0].encode())
    # Before the answer: behind it the next frame may come, and that may be handled elsewhere.
    state["handles"] = False
    await connection.send(Frame("answer", ["", number, answer]))


async def _numbered(event: str, send: Callable[[Frame], Awaitable[None]], state: dict[str, Any], *more: Any) -> None:
    number = state[event] = state.get(event, -1) + 1
    await send(Frame(event, ["", number, *more]))


async def _relay(connection: Connection) -> None:
    """What clients have broadcast, under a key of their session."""
    number = connection.state["relay"] = connection.state.get("relay", -1) + 1
    await server.broadcast(connection.room_id, Frame("room", [connection.state["key"], number, time.monotonic()]))


async def _visit(connection: Connection) -> None:
    """Join a room, of which it must hear at once, and leave one of which it has heard long ago."""
    number = connection.state["visit"] = connection.state.get("visit", -1) + 1
    room = f"aside {connection.id}"
    await connection.join(f"{room} {number}")
    await server.broadcast(f"{room} {number}", Frame("visit", ["", number]))
    if number >= 3:
        await connection.leave(f"{room} {number - 3}")


async def _go() -> bool:
    """Wait until all clients are there; then whether the crowd still talks."""
    while not _is_told("go") and not _is_over.is_set():
        await _pause(0.02)
    return not _is_told("stop") and not _is_over.is_set()


def _is_told(word: str) -> bool:
    return Path(word).exists()


async def _pause(time_s: float) -> None:
    try:
        async with asyncio.timeout(time_s):
            await _is_over.wait()
    except TimeoutError:
        pass


async def _talk() -> None:
    """All that this process says of itself; then how much that was."""
    await asyncio.gather(_burst(), _pulse(), _send())
    _note_totals()


def _is_serving() -> bool:
    try:
        return server.shard >= 0
    except RuntimeError:
        return False


async def _broadcast(event: str, room: str) -> None:
    try:
        await server.broadcast(room, Frame(event, [KEY, _rooms[room], time.monotonic()]))
    except Exception as error:
        _note("error", event, room, repr(error), KEY)
    else:
        _rooms[room] += 1


async def _burst() -> None:
    """Much at once, to all rooms in turn."""
    place = 0
    while await _go():
        if _is_serving():
            for _ in range(SETTINGS["burst"]):
                place = (place + 1) % SETTINGS["rooms"]
                await _broadcast("room", f"room-{place}")
        await _pause(SETTINGS["period_s"] * _random.uniform(0.5, 1.5))


async def _pulse() -> None:
    while await _go():
        if _is_serving():
            await _broadcast("pulse", "pulse")
        await _pause(PULSE_S)


async def _send() -> None:
    """To some by their id, wherever they are, and to some by the connection that this process knows; two frames each, at once."""
    while await _go():
        if _is_serving():
            waiting: list[asyncio.Task[None]] = []
            for each in _random.sample(SETTINGS["ids"], min(SETTINGS["sends"], len(SETTINGS["ids"]))):
                waiting += [asyncio.create_task(_send_to(each)) for _ in range(2)]
            for each in _random.sample(list(_known), min(SETTINGS["sends"], len(_known))):
                waiting += [asyncio.create_task(_tell(_known[each])) for _ in range(2)]
            await asyncio.gather(*waiting)
        await _pause(0.1 * _random.uniform(0.5, 1.5))


async def _send_to(each: str) -> None:
    number = _direct[each]
    _direct[each] += 1
    try:
        await server.send(each, Frame("direct", [KEY, number]))
    except Exception as error:
        _note("error", "direct", each, repr(error), KEY)


async def _tell(connection: Connection) -> None:
    number = _told[connection.id]
    _told[connection.id] += 1
    try:
        await connection.send(Frame("told", [KEY, number]))
    except Exception as error:
        _note("error", "told", connection.id, repr(error), KEY)


async def _call() -> None:
    """One question after another, to those that this process knows."""
    while await _go():
        # Who does not read answers late, and a session that is asked does not move.
        asked = [
            connection for connection in _known.values() if not connection.id.startswith(tuple(SETTINGS["unasked"]))
        ]
        if asked and _is_serving():
            task = asyncio.create_task(_ask(_random.choice(asked)))
            _calls.add(task)
            task.add_done_callback(_calls.discard)
        await _pause(0.2)


async def _ask(connection: Connection) -> None:
    try:
        answer = await connection.call(Frame("question", 7), timeout_s=30)
        if answer.decode() != 7:
            _note("fault", connection.id, f"it answered {answer!r}")
    except Exception as error:
        _note("error", "call", connection.id, repr(error), KEY)


_note("begin", KEY)
