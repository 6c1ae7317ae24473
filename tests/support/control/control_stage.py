"""A whole control plane inside the test's own loop: real sockets and mailboxes, in front of shards that are only pretended."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from wspulse import AsyncControl
from wspulse.actors.mesh.mailbox import Mailbox
from wspulse.actors.mesh.message import ConnectionList, GetStats, ListConnections, ListRooms, Message, UpgradeRequest
from wspulse.actors.values.health import Health
from wspulse.supervisor.control.plane import ControlPlane
from wspulse.supervisor.moving.scaling import Scaled
from wspulse.supervisor.moving.turn import Moved
from wspulse.supervisor.premises.listeners.listen_socket import open_mailbox_listener
from wspulse.supervisor.premises.runtime_dir import RuntimeDir
from wspulse.supervisor.process.child import Child, ChildState
from wspulse.supervisor.process.restart.history import History
from wspulse.supervisor.settings.layers import Settings

__all__ = ["ControlStage", "PretendedShard", "control_stage"]


class PretendedShard:
    """A shard behind a mailbox. It keeps what it is asked, and answers as the test says: by the message's type a result, a
    function that makes one of the message, an error to raise, or `SILENCE`."""

    SILENCE = object()

    def __init__(self, shard: int, listener: socket.socket) -> None:
        self.shard = shard
        self.asked: list[Message] = []
        self.answers: dict[type, Any] = {ListRooms: [], ListConnections: ConnectionList([]), GetStats: {}}
        self.silenced: list[asyncio.Future[Any]] = []
        self._listener = listener
        self._incarnation = 0
        self._mailbox: Mailbox | None = None

    def start(self) -> None:
        """Serve, under a new incarnation."""
        self._incarnation += 1
        self._mailbox = Mailbox(self._listener.dup(), self.shard, self._incarnation, self._receive, _no_upgrades)
        self._mailbox.open()

    def stop(self) -> None:
        """Die: what was asked and not answered is lost."""
        if self._mailbox is not None:
            self._mailbox.close()
            self._mailbox = None

    def _receive(self, message: Message) -> Any:
        self.asked.append(message)
        answer = self.answers.get(type(message))
        if answer is self.SILENCE:
            self.silenced.append(asyncio.get_running_loop().create_future())
            return self.silenced[-1]
        if isinstance(answer, Exception):
            raise answer
        return answer(message) if callable(answer) else answer


class PretendedChild:
    """A shard's place as the control plane sees it."""

    def __init__(self, shard: int) -> None:
        self.shard = self.seat = shard
        self.pid: int | None = None
        self.incarnation: int | None = 1
        self.history = History()
        self.tally = self.history.tally
        self.state = ChildState.READY
        self.connections = 0
        self.silence_s = 0.0
        self.ends_by_order = False
        self.is_permanent = True
        self.told: list[Message] = []

    @property
    def restarts(self) -> int:
        return self.history.restarts

    def tell(self, message: Message) -> None:
        self.told.append(message)


class ControlStage:
    """The plane, what it stands in front of, and what it asked of the supervisor. Made by `control_stage`."""

    def __init__(self, runtime_dir: RuntimeDir, settings: Settings) -> None:
        self.runtime_dir = runtime_dir
        self.is_ending = False
        self.health = Health()
        self.plans: list[tuple[Any, ...]] = []
        """Those that were asked for, with their arguments."""
        self.answer: Any = None
        """What a plan comes to, or an error to raise."""
        self.left: dict[int, int] = {}
        """By name: how many sessions have yet to move."""
        self.shutdowns: list[str] = []
        paths = [runtime_dir.socket_path(f"mailbox-{shard}") for shard in range(settings.workers)]
        self.listeners = [open_mailbox_listener(path) for path in paths]
        self.shards = [PretendedShard(shard, listener) for shard, listener in enumerate(self.listeners)]
        self.pretended = [PretendedChild(shard) for shard in range(settings.workers)]
        self.children = cast("list[Child]", self.pretended)
        self.plane = ControlPlane(settings, self, runtime_dir, dict(enumerate(paths)))

    @property
    def endpoint(self) -> str:
        return self.plane.endpoint

    async def links_up(self) -> None:
        """Wait until every shard is asked what all are asked."""
        for shard in self.shards:
            shard.asked.clear()
        async with AsyncControl(self.endpoint) as control, asyncio.timeout(10):
            while not all(shard.asked for shard in self.shards):
                await control.rooms()
        for shard in self.shards:
            shard.asked.clear()

    # What the operations need of the supervisor.

    async def restart(self, shard: int, *, drain: bool) -> Moved:
        if not 0 <= shard < len(self.children):
            raise IndexError(f"wspulse: there is no shard {shard}")
        return cast("Moved", self._plan("restart", shard, drain))

    async def reload(self, *, drain: bool) -> list[Moved]:
        return cast("list[Moved]", self._plan("reload", drain))

    async def scale(self, workers: int) -> Scaled:
        return cast("Scaled", self._plan("scale", workers))

    def _plan(self, *plan: Any) -> Any:
        self.plans.append(plan)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def everybody(self) -> list[Child]:
        return self.children

    def histories(self) -> dict[int, History]:
        return {child.shard: child.history for child in self.pretended}

    def moving(self, shard: int) -> int | None:
        return self.left.get(shard)

    def hosts(self) -> list[dict[str, Any]]:
        return []

    def request_shutdown(self, reason: str) -> None:
        self.shutdowns.append(reason)


@asynccontextmanager
async def control_stage(
    folder: Path, *, workers: int = 2, app: str = "relay", up: bool = True, **settings: Any
) -> AsyncIterator[ControlStage]:
    """`up`: the links to all shards are up when the block begins."""
    (folder / "run").mkdir(mode=0o700, exist_ok=True)
    runtime_dir = RuntimeDir.claim(8000, {"XDG_RUNTIME_DIR": str(folder / "run")})
    stage = ControlStage(
        runtime_dir,
        Settings(
            workers=workers,
            app=app,
            host=["127.0.0.1"],
            port=8000,
            path="/ws",
            stall_timeout=30.0,
            give_up_after=60.0,
            shutdown_timeout=10.0,
            log_level="info",
            log_format="text",
            **settings,
        ),
    )
    try:
        stage.plane.start()
        if up:
            for shard in stage.shards:
                shard.start()
            await stage.links_up()
        yield stage
    finally:
        for shard in stage.shards:
            shard.stop()
        await stage.plane.stop()
        for listener in stage.listeners:
            listener.close()
        runtime_dir.release()


def _no_upgrades(_upgrade: UpgradeRequest, _fd: int) -> None:
    raise AssertionError("the control plane hands no socket over")
