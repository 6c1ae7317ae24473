"""A lobby, where players challenge each other, and its tables: one worker per table moves the players 20 times a second.

    python -m wspulse.supervisor --workers 4 --app lobby:server

Connect to ws://127.0.0.1:8000/ws?player=alice, and another as bob; she sends {"id": "1", "event": "challenge", "payload": "bob"}.
He is asked "play?" and says yes with a frame of the same event and id, or no with "play?.error". Then both are in the room of a
table, which "started" names: {"event": "move", "payload": {"table": "table:…", "move": {"dx": 1}}} moves its sender.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Annotated, Any
from zlib import crc32

import msgspec
import zmq
import zmq.asyncio

from wspulse import (
    Connection,
    ConnectionClosedError,
    ConnectRejected,
    Context,
    EventRouter,
    Frame,
    ReplyError,
    Request,
    Server,
    ServerClosedError,
    ShardUnavailableError,
    recovery,
)

TICK_S = 1 / 20
SPEED = 5.0
FIELD = 100.0
RECOUNT_TICKS = 100
ANSWER_S = 8.0
LOBBY = "lobby"

logger = logging.getLogger("lobby")
# A player who loses the network stands still for up to 20 s, and then plays on where he was.
server = Server(resume_window=20, suspend_on_clean_close=False, on_duplicate="resume")
router = EventRouter()
server.on_message(router)

Speed = Annotated[float, msgspec.Meta(ge=-1, le=1)]
Table = Annotated[str, msgspec.Meta(pattern="^table:.{1,40}$")]


class Move(msgspec.Struct):
    dx: Speed = 0.0
    dy: Speed = 0.0


class Order(msgspec.Struct):
    table: Table
    move: Move


class Input(msgspec.Struct):
    """What the worker that has the player tells the worker that has the table."""

    table: str
    player: str
    move: Move | None
    """None: the player has left."""


class Player(msgspec.Struct):
    move: Move
    x: float = FIELD / 2
    y: float = FIELD / 2

    def step(self) -> None:
        self.x = min(max(self.x + self.move.dx * SPEED * TICK_S, 0.0), FIELD)
        self.y = min(max(self.y + self.move.dy * SPEED * TICK_S, 0.0), FIELD)


class Inputs:
    """Carries inputs to the workers that have the tables. A worker that is replaced finds the others by the same paths."""

    def __init__(self) -> None:
        self._context = zmq.asyncio.Context()
        # Our own, and the same for all workers of this supervisor.
        self._folder = Path(tempfile.gettempdir()) / f"lobby-{os.getuid()}-{os.getppid()}"
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Input).decode
        self._others: dict[int, zmq.asyncio.Socket] = {}

    def open(self) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if self._folder.stat().st_uid != os.getuid():
            raise RuntimeError(f"{self._folder} belongs to somebody else")
        self._own = self._context.socket(zmq.PULL)
        self._own.bind(f"ipc://{self._path(server.shard)}")
        self._inode = self._path(server.shard).stat().st_ino

    async def tell(self, message: Input) -> None:
        shard = crc32(message.table.encode()) % server.workers
        if shard not in self._others:
            self._others[shard] = self._context.socket(zmq.PUSH)
            self._others[shard].connect(f"ipc://{self._path(shard)}")
        await self._others[shard].send(self._encode(message))

    async def receive(self) -> Input:
        return self._decode(await self._own.recv())

    def close(self) -> None:
        self._context.destroy(linger=0)
        with suppress(OSError):
            if self._path(server.shard).stat().st_ino == self._inode:  # else a replacement has it already
                self._path(server.shard).unlink()
            self._folder.rmdir()  # the last one out

    def _path(self, shard: int) -> Path:
        return self._folder / str(shard)


class Game:
    """The game at one table, on the one worker that the table's name leads to. It ticks while there are players."""

    def __init__(self, table: str) -> None:
        self.table = table
        self.players: dict[str, Player] = {}
        self._ticks = 0

    def take(self, player: str, move: Move | None) -> None:
        if move is None:
            self.players.pop(player, None)
        elif player in self.players:
            self.players[player].move = move
        else:
            self.players[player] = Player(move)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while self.players:
            try:
                if self._ticks % RECOUNT_TICKS == 0:
                    await self._recount()
                self._ticks += 1
                for player in self.players.values():
                    player.step()
                state = {"tick": self._ticks, "players": self.players}
                await server.broadcast(self.table, Frame("state", state, room=self.table))
            except ServerClosedError:
                return
            except ShardUnavailableError as error:
                logger.warning("a tick reached nobody", extra={"reason": str(error)})
            due = max(due + TICK_S, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _recount(self) -> None:
        """Players of a worker that died never said that they left; when it had this table, the game begins anew with the rest."""
        known = list(self.players)
        here = {member.id for member in await server.presence(self.table)}
        for player in known:
            if player not in here:
                self.players.pop(player, None)
        for player in here:
            self.players.setdefault(player, Player(Move()))


inputs = Inputs()
games: dict[str, Game] = {}
tasks: set[asyncio.Task[None]] = set()


def start_task(coroutine: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(coroutine)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def play() -> None:
    """Take the inputs for the tables of this worker."""
    while True:
        message = await inputs.receive()
        game = games.get(message.table)
        if game is None and message.move is not None:
            game = games[message.table] = Game(message.table)
            game.take(message.player, message.move)
            start_task(run(game))
        elif game is not None:
            game.take(message.player, message.move)


async def run(game: Game) -> None:
    try:
        await game.run()
    finally:
        del games[game.table]


@server.connect
def connect(request: Request) -> tuple[str, str]:
    player = request.query.get("player", "")
    if not 1 <= len(player) <= 60:
        raise ConnectRejected("connect with ?player=...", status=400)
    return LOBBY, player


@server.on_connect
async def arrived(connection: Connection) -> None:
    await server.broadcast(LOBBY, Frame("arrived", connection.id, room=LOBBY), exclude=[connection.id])


@router.use
@recovery  # logs what a handler raises; then this answers, and the player stays
def failed(context: Context, error: Exception) -> None:
    raise ReplyError({"code": "failed"})


@router.on("who")
async def who(context: Context) -> dict[str, tuple[str, ...]]:
    return {member.id: member.rooms[1:] for member in await server.presence(LOBBY)}


@router.on("challenge")
async def challenge(context: Context, rival: str) -> dict[str, str]:
    me = context.connection
    found = [other for other in await server.get_connections(LOBBY) if other.id == rival != me.id]
    if not found:
        raise ReplyError({"code": "not_here", "player": rival})
    try:
        await found[0].call(Frame("play?", {"player": me.id}), timeout_s=ANSWER_S)
    except ReplyError:
        raise ReplyError({"code": "declined", "player": rival}) from None
    except (TimeoutError, ConnectionClosedError):
        raise ReplyError({"code": "no_answer", "player": rival}) from None
    table = f"table:{token_hex(4)}"
    for player in (found[0], me):  # whichever workers they are on
        await sit_down(player, table)
    await server.broadcast(LOBBY, Frame("started", {"table": table, "players": [me.id, rival]}, room=LOBBY))
    return {"table": table}


@router.on("sit")
async def sit(context: Context, table: Table) -> dict[str, str]:
    """For more players, and for those whose worker died under them."""
    await sit_down(context.connection, table)
    return {"table": table}


@router.on("move")
async def move(context: Context, order: Order) -> None:
    await inputs.tell(Input(checked(context, order.table), context.connection.id, order.move))


@router.on("leave")
async def leave(context: Context, table: Table) -> dict[str, str]:
    await context.connection.leave(checked(context, table))
    await inputs.tell(Input(table, context.connection.id, None))
    return {"left": table}


@server.on_transport_drop
async def network_lost(connection: Connection, error: Exception | None) -> None:
    for table in connection.rooms[1:]:
        await inputs.tell(Input(table, connection.id, Move()))


@server.on_disconnect
async def left(connection: Connection, error: Exception | None) -> None:
    for table in connection.rooms[1:]:
        await inputs.tell(Input(table, connection.id, None))
    with suppress(ServerClosedError):
        await server.broadcast(LOBBY, Frame("left", connection.id, room=LOBBY))


async def sit_down(player: Connection, table: str) -> None:
    await player.join(table)
    await inputs.tell(Input(table, player.id, Move()))


def checked(context: Context, table: str) -> str:
    if table not in context.connection.rooms:
        raise ReplyError({"code": "not_at_this_table", "table": table})
    return table


@server.on_start
async def start() -> None:
    inputs.open()
    start_task(play())


@server.on_stop
async def stop() -> None:
    for task in list(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    inputs.close()
