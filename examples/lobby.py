"""A game: inputs come in on any worker, one worker per game moves its players 20 times a second and broadcasts the state.

    python -m wspulse.supervisor --workers 4 --app lobby:server

Connect to ws://127.0.0.1:8000/ws?game=g1&player=alice and send {"event": "move", "payload": {"dx": 1, "dy": 0}}.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any
from zlib import crc32

import msgspec
import zmq
import zmq.asyncio

from wspulse import (
    Connection,
    ConnectRejected,
    Context,
    EventRouter,
    Frame,
    Request,
    Server,
    ServerClosedError,
    ShardUnavailableError,
)

TICK_S = 1 / 20
SPEED = 5.0
FIELD = 100.0
RECOUNT_TICKS = 100

logger = logging.getLogger("lobby")
# A player who loses the network stands still for up to 20 s, and then plays on where he was.
server = Server(resume_window=20, suspend_on_clean_close=False, on_duplicate="resume")
router = EventRouter()
server.on_message(router)

Speed = Annotated[float, msgspec.Meta(ge=-1, le=1)]


class Move(msgspec.Struct):
    dx: Speed = 0.0
    dy: Speed = 0.0


class Input(msgspec.Struct):
    """What the worker that has the player tells the worker that has the game."""

    game: str
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
    """Carries inputs to the workers that have the games. A worker that is replaced finds the others by the same paths."""

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
        shard = crc32(message.game.encode()) % server.workers
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
    """One game, on the one worker that its name leads to. It ticks while it has players."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.players: dict[str, Player] = {}
        self._ticks = 0

    def take(self, player: str, move: Move | None) -> None:
        if move is None:
            self.players.pop(player, None)
        elif player in self.players:
            self.players[player].move = move
        else:
            # New, or known to the worker that had this game and died: the game begins anew, with who is there.
            self.players[player] = Player(move)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while self.players:
            self._ticks += 1
            for player in self.players.values():
                player.step()
            try:
                await server.broadcast(self.name, Frame("state", {"tick": self._ticks, "players": self.players}))
                if self._ticks % RECOUNT_TICKS == 0:
                    await self._recount()
            except ServerClosedError:
                return
            except ShardUnavailableError as error:
                logger.warning("a tick reached nobody", extra={"reason": str(error)})
            due = max(due + TICK_S, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _recount(self) -> None:
        """Players of a worker that died never said that they left."""
        here = {connection.id for connection in await server.get_connections(self.name)}
        for player in [player for player in self.players if f"{self.name}/{player}" not in here]:
            del self.players[player]


inputs = Inputs()
games: dict[str, Game] = {}
tasks: set[asyncio.Task[None]] = set()


def start_task(coroutine: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(coroutine)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def play() -> None:
    """Take the inputs for the games of this worker."""
    while True:
        message = await inputs.receive()
        game = games.get(message.game)
        if game is None and message.move is not None:
            game = games[message.game] = Game(message.game)
            game.take(message.player, message.move)
            start_task(run(game))
        elif game is not None:
            game.take(message.player, message.move)


async def run(game: Game) -> None:
    try:
        await game.run()
    finally:
        del games[game.name]


@server.connect
def connect(request: Request) -> tuple[str, str, dict[str, str]]:
    game, player = request.query.get("game", ""), request.query.get("player", "")
    if not game or not player or len(game) + len(player) > 60 or "/" in game:
        raise ConnectRejected("connect with ?game=...&player=...", status=400)
    return game, f"{game}/{player}", {"player": player}


async def tell(connection: Connection, move: Move | None) -> None:
    await inputs.tell(Input(connection.room_id, connection.state["player"], move))


@server.on_connect
async def joined(connection: Connection) -> None:
    await tell(connection, Move())


@router.on("move")
async def move(context: Context, move: Move) -> None:
    await tell(context.connection, move)


@server.on_transport_drop
async def network_lost(connection: Connection, error: Exception | None) -> None:
    await tell(connection, Move())


@server.on_disconnect
async def left(connection: Connection, error: Exception | None) -> None:
    await tell(connection, None)


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
