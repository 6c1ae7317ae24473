"""`Cancellations` and the inboxes whose handlers they end: how a handler may take it, and what goes on behind it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.sessions.inbox_stage import Gate, NotedShard, made, turn
from tests.support.shards.eager_tasks import eager_tasks
from tests.support.wire.raw_peer import RawPeer, masked
from wspulse import Server
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.sessions.inbox import Inbox
from wspulse.actors.sessions.patience import cancellations
from wspulse.actors.transport.state import TransportState
from wspulse.actors.values.frame import Frame
from wspulse.actors.wire.frames import TEXT


class Handler:
    """An on_message that takes a cancellation as its frame says, and notes what becomes of it."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.gate = asyncio.Event()
        self.cleaned = asyncio.Event()
        self.pending: list[int] = []
        """How many cancellations each handler finds asked for."""

    async def __call__(self, _connection: Connection, frame: Frame) -> None:
        how = frame.payload.decode()
        task = asyncio.current_task()
        assert task is not None
        self.pending.append(task.cancelling())
        self.log.append(f"{how} begins")
        try:
            while not self.gate.is_set():
                try:
                    await self.gate.wait()
                except asyncio.CancelledError:
                    self.log.append(f"{how} is cancelled")
                    if how == "swallows":
                        return
                    if how == "raises":
                        raise LookupError from None
                    if how == "cleans":
                        await self.cleaned.wait()
                    if how != "refuses":
                        raise
            if how == "refuses":
                raise LookupError
        finally:
            self.log.append(f"{how} ends")


class Stage:
    def __init__(self) -> None:
        self.handler = Handler()
        self.ends: list[object] = []
        inbox, shard, session = made(on_message=self.handler, on_disconnect=lambda *_: self.ends.append("end"))
        self.inbox: Inbox = inbox
        self.shard: NotedShard = shard
        self.session = session
        self.inbox.connection = Named()  # type: ignore[assignment]

    def cancel(self, verdict: BaseException | None = None) -> None:
        self.shard.cancellations.cancel(self.inbox, verdict)

    async def __aenter__(self) -> Stage:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.ended()

    async def ended(self) -> None:
        self.handler.gate.set()
        await eventually(lambda: not self.shard.working, "all have ended")
        for timer in self.shard.timers:
            timer.cancel()


class Named:
    id = "ada"


WAYS = ["lets it pass", "swallows", "raises", "cleans"]


@pytest.mark.parametrize("way", WAYS)
async def test_handler_that_is_too_late_counts_as_raising_however_it_takes_its_cancellation(way: str) -> None:
    async with Stage() as stage:
        late = TimeoutError("late")
        stage.inbox.receive(TEXT, way.encode())
        stage.inbox.receive(TEXT, b"behind")
        await turn()
        stage.handler.cleaned.set()
        stage.cancel(late)
        await eventually(lambda: not stage.shard.working, "it has ended")
        assert stage.handler.log == [f"{way} begins", f"{way} is cancelled", f"{way} ends"]
        assert stage.shard.raised == [("on_message", late)]
        assert stage.session.failed == [(late, 1011)]
        cause = {"swallows": type(None), "raises": LookupError}.get(way, asyncio.CancelledError)
        assert type(late.__cause__) is cause


@pytest.mark.parametrize("way", WAYS)
async def test_handler_of_a_session_that_has_ended_counts_as_what_it_raises_besides(way: str) -> None:
    async with Stage() as stage:
        stage.inbox.receive(TEXT, way.encode())
        await turn()
        stage.handler.cleaned.set()
        stage.cancel()
        await eventually(lambda: not stage.shard.working, "it has ended")
        raised = [type(error) for _, error in stage.shard.raised]
        assert raised == ([LookupError] if way == "raises" else [])
        assert [code for _, code in stage.session.failed] == ([1011] if way == "raises" else [])


async def test_frames_behind_a_cancelled_handler_wait_for_its_end_and_are_not_cancelled() -> None:
    async with Stage() as stage:
        for way in (b"cleans", b"two", b"three"):
            stage.inbox.receive(TEXT, way)
        await turn()
        stage.cancel()
        await eventually(lambda: "cleans is cancelled" in stage.handler.log, "it is cancelled")
        await turn()
        assert "two begins" not in stage.handler.log
        stage.handler.cleaned.set()
        await eventually(lambda: "two begins" in stage.handler.log, "the next one runs")
        await stage.ended()
        assert stage.handler.log[2:] == ["cleans ends", "two begins", "two ends", "three begins", "three ends"]
        assert stage.handler.pending == [0, 0, 0]


async def test_handler_is_cancelled_once() -> None:
    async with Stage() as stage:
        stage.inbox.receive(TEXT, b"cleans")
        await turn()
        for _ in range(3):
            stage.cancel()
            await turn()
        assert stage.handler.log == ["cleans begins", "cleans is cancelled"]
        stage.handler.cleaned.set()
        await stage.ended()
        assert stage.handler.log == ["cleans begins", "cleans is cancelled", "cleans ends"]


@pytest.mark.parametrize("factory", [None, eager_tasks])
async def test_handler_that_was_called_and_has_not_begun_begins_before_it_is_cancelled(factory: Any) -> None:
    async with Stage() as stage:
        asyncio.get_running_loop().set_task_factory(factory)
        stage.inbox.receive(TEXT, b"one")
        stage.cancel()
        await eventually(lambda: not stage.shard.working, "it has ended")
        assert stage.handler.log == ["one begins", "one is cancelled", "one ends"]


async def test_handler_that_ends_in_the_turn_of_its_cancellation_has_ended_by_itself() -> None:
    async with Stage() as stage:
        stage.inbox.receive(TEXT, b"one")
        await turn()
        stage.inbox.receive(TEXT, b"two")
        second = stage.shard.handlers.on_message = Gate()
        stage.handler.gate.set()  # its task wakes before the cancellation comes, and goes on with the next one
        stage.cancel(TimeoutError())
        await turn()
        assert stage.handler.log == ["one begins", "one ends"]
        assert second.begun == [b"two"]
        assert stage.inbox in stage.shard.working
        assert stage.shard.raised == []
        second.event.set()


async def test_callback_that_is_no_messages_is_not_cancelled() -> None:
    gate = asyncio.Event()

    async def wait(_connection: Connection) -> None:
        await gate.wait()

    inbox, shard, _ = made(on_connect=wait)
    inbox.post("on_connect")
    await turn()
    shard.cancellations.cancel(inbox, TimeoutError())
    await turn()
    assert inbox in shard.working
    gate.set()
    await eventually(lambda: not shard.working, "it has ended")
    assert shard.raised == []


async def test_nothing_of_its_session_runs_beside_a_handler_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Stage() as stage:
        monkeypatch.setattr(cancellations, "INSIST_S", 0.01)
        stage.inbox.receive(TEXT, b"refuses")
        stage.inbox.receive(TEXT, b"behind")
        stage.inbox.post("on_disconnect")
        await turn()
        stage.cancel()
        await eventually(
            lambda: stage.handler.log.count("refuses is cancelled") == 4, "it is cancelled again and again"
        )
        assert stage.handler.log == ["refuses begins", *["refuses is cancelled"] * 4]
        # It is named once.
        assert len(stage.shard.refusing) == 1
        assert stage.shard.raised == []
        await stage.ended()
        # What it raised in the end counts as ever, and the frames behind it are discarded.
        assert stage.ends == ["end"]
        assert [type(error) for _, error in stage.shard.raised] == [LookupError]
        assert stage.handler.log[-1] == "refuses ends"
        assert stage.shard.finished == [stage.inbox]


async def test_handler_that_is_late_and_refuses_has_raised_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Stage() as stage:
        monkeypatch.setattr(cancellations, "INSIST_S", 0.02)
        late = TimeoutError()
        stage.inbox.receive(TEXT, b"refuses")
        await turn()
        stage.cancel(late)
        await eventually(lambda: stage.session.failed, "its transport has ended")
        assert stage.session.failed == [(late, 1011)]
        assert stage.inbox.busy
        assert "refuses ends" not in stage.handler.log
        await stage.ended()
        # Not once more, but for what it raised besides.
        assert [type(error) for _, error in stage.shard.raised] == [TimeoutError, LookupError]
        assert stage.session.failed == [(late, 1011)]


async def test_next_transport_is_read_again_when_a_refusing_handlers_frames_are_discarded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Stage() as stage:
        monkeypatch.setattr(cancellations, "INSIST_S", 0.02)
        for frame in (b"refuses", *[b"behind"] * 16):
            stage.inbox.receive(TEXT, frame)
        stage.inbox.post("on_transport_drop")
        await turn()
        transport = stage.session.transport
        assert transport.log == ["held"]
        stage.cancel(TimeoutError())
        await eventually(lambda: stage.shard.raised, "it has raised, as far as others are concerned")
        assert transport.log == ["held", "released"]
        assert "refuses ends" not in stage.handler.log


async def test_handler_behind_one_that_refused_is_not_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Stage() as stage:
        monkeypatch.setattr(cancellations, "INSIST_S", 0.01)
        stage.inbox.receive(TEXT, b"refuses")
        await turn()
        stage.cancel()
        await eventually(lambda: stage.handler.log.count("refuses is cancelled") == 3, "it is cancelled thrice")
        stage.inbox.post("on_disconnect")
        pending: list[int] = []

        async def see(_connection: Connection, _error: BaseException | None) -> None:
            task = asyncio.current_task()
            assert task is not None
            pending.append(task.cancelling())
            await asyncio.sleep(0.05)

        stage.shard.handlers.on_disconnect = see
        await stage.ended()
        assert pending == [0]
        assert stage.shard.finished == [stage.inbox]


async def test_shard_that_ends_cancels_a_handler_that_refuses_and_leaves_no_timer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log: list[str] = []
    server = Server(lambda _request: ("room", "ada"))

    async def refuse(*_: object) -> None:
        while len(log) < 3:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                log.append("cancelled")

    server.on_message(refuse)
    async with server.serve(patience_s=0) as running:
        peer = await RawPeer.upgraded(running.port, "/ws", glued=masked(TEXT, b"{}"))
        shard = server._running().shard
        await eventually(lambda: shard.working, "the handler runs")
        monkeypatch.setattr(cancellations, "INSIST_S", 0.02)
        shard.cancellations.cancel(shard.sessions["ada"].inbox)
        await eventually(lambda: len(log) == 2, "it is cancelled again")
        monkeypatch.setattr(cancellations, "INSIST_S", 60)
        await peer.close()
    assert shard.working == {}


def test_handler_whose_own_write_finds_that_its_client_is_gone_is_cancelled() -> None:
    # asyncio's loop tells of what a write finds in the context of whoever wrote; uvloop does not.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(asyncio.wait_for(_write_and_lose(), 20))


async def _write_and_lose() -> None:
    log: list[str] = []
    server = Server(lambda _request: ("room", "ada"), cancel_on_disconnect=True)

    @server.on_message
    async def flood(connection: Connection, _frame: Frame) -> None:
        if log:
            return
        log.append("begins")
        try:
            connection.send_nowait(Frame("much", "x" * 16_000_000))
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    async with server.serve(patience_s=0) as running:
        # So many frames that the socket is not read any more: only the writer can find its end.
        peer = await RawPeer.upgraded(running.port, "/ws", 4096, glued=masked(TEXT, b"{}") * 40)
        shard = server._running().shard
        transport = shard.sessions["ada"].transport
        assert transport is not None
        await eventually(lambda: transport.blocked and transport.state is TransportState.HELD, "it reads nothing")
        await peer.close()  # with bytes unread, which resets it
        await eventually(lambda: not shard.sessions, "the session has ended")
        await eventually(lambda: log == ["begins", "cancelled"], "the handler is cancelled")
