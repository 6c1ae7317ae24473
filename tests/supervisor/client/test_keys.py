"""Clients whose keys do not fit the server's: they learn it soon, whatever their patience, and the server tells of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.control.control_stage import ControlStage, control_stage
from tests.support.eventually import eventually
from wspulse import AsyncControl, Control, ControlError
from wspulse.supervisor.protocol.curve import write_pair

PATIENCE_S = 60.0

WRONG = {
    "unknown": ({"server_key": "server.key", "client_key": "stranger.key_secret"}, "does not accept this client's key"),
    "of another server": (
        {"server_key": "stranger.key", "client_key": "friend.key_secret"},
        "aborts every handshake: its key is a different one, or only one side has keys",
    ),
    "none": ({}, "aborts every handshake: its key is a different one, or only one side has keys"),
}


@asynccontextmanager
async def guarded(folder: Path) -> AsyncIterator[ControlStage]:
    (folder / "clients").mkdir()
    write_pair(folder, "server")
    write_pair(folder, "friend")
    write_pair(folder, "stranger")
    (folder / "friend.key").rename(folder / "clients" / "friend.key")
    async with control_stage(
        folder,
        app="bridge",
        up=False,
        control="tcp://127.0.0.1:*",
        control_server_key=str(folder / "server.key_secret"),
        control_client_keys=str(folder / "clients"),
    ) as stage:
        yield stage


def keys_of(kind: str, folder: Path) -> dict[str, Any]:
    return {name: folder / file for name, file in WRONG[kind][0].items()}


@pytest.mark.parametrize("kind", WRONG)
async def test_client_whose_keys_do_not_fit_learns_it_soon(kind: str, tmp_path: Path) -> None:
    keys, told = keys_of(kind, tmp_path), WRONG[kind][1]
    async with guarded(tmp_path) as stage, asyncio.timeout(10):
        async with AsyncControl(stage.endpoint, timeout=PATIENCE_S, **keys) as control:
            for _ in range(2):
                with pytest.raises(ControlError, match=told) as failed:
                    await control.ping()
                assert failed.value.error_code == "unavailable"
            with pytest.raises(ControlError, match=told):
                await control.attach(lambda _request: ("", "")).__aenter__()
            with pytest.raises(ControlError, match=told):
                await anext(control.events())
        with Control(stage.endpoint, timeout=PATIENCE_S, **keys) as blocking:
            for _ in range(2):
                with pytest.raises(ControlError, match=told):
                    await asyncio.to_thread(blocking.ping)
    await asyncio.get_running_loop().shutdown_default_executor()


async def test_client_with_keys_learns_soon_that_the_server_has_none(tmp_path: Path) -> None:
    write_pair(tmp_path, "server")
    write_pair(tmp_path, "friend")
    keys: dict[str, Any] = {"server_key": tmp_path / "server.key", "client_key": tmp_path / "friend.key_secret"}
    async with (
        control_stage(tmp_path, up=False) as stage,
        asyncio.timeout(10),
        AsyncControl(stage.endpoint, timeout=PATIENCE_S, **keys) as control,
    ):
        with pytest.raises(ControlError, match="only one side has keys"):
            await control.ping()


async def test_client_is_let_in_where_its_key_is_listed_later(tmp_path: Path) -> None:
    async with guarded(tmp_path) as stage, asyncio.timeout(10):
        keys = keys_of("unknown", tmp_path)
        async with AsyncControl(stage.endpoint, timeout=PATIENCE_S, **keys) as control:
            with pytest.raises(ControlError, match="does not accept"):
                await control.ping()
            gate = stage.plane._gate
            assert gate is not None
            gate._allowed = frozenset({*gate._allowed, _public_key(tmp_path / "stranger.key")})
            assert (await control.ping()).workers == 2


def _public_key(path: Path) -> bytes:
    from zmq.utils import z85

    from wspulse.supervisor.protocol.curve import load_public

    key: bytes = z85.decode(load_public(path))
    return key


async def test_program_whose_key_is_no_longer_known_is_told(tmp_path: Path) -> None:
    async with guarded(tmp_path) as stage, asyncio.timeout(10):
        keys: dict[str, Any] = {"server_key": tmp_path / "server.key", "client_key": tmp_path / "friend.key_secret"}
        async with AsyncControl(stage.endpoint, **keys) as control:
            bridge = await control.attach(lambda _request: ("", "")).__aenter__()
            taking = asyncio.create_task(anext(bridge, None))
            await asyncio.sleep(0)
            assert bridge._dealer is not None
            bridge._dealer._dealer._is_refused = True
            bridge._went_away()
            with pytest.raises(ControlError, match="does not accept this client's key"):
                await taking


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("unknown", "a control client was refused: its key is not on the list"),
        ("of another server", "a control client was refused: it expects another server's key"),
        ("none", "a control client was refused: only one side has keys"),
    ],
)
async def test_server_tells_of_clients_whose_keys_do_not_fit_and_counts_them(
    kind: str, line: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "wspulse.control")
    friend: dict[str, Any] = {"server_key": tmp_path / "server.key", "client_key": tmp_path / "friend.key_secret"}
    async with guarded(tmp_path) as stage, asyncio.timeout(20), AsyncControl(stage.endpoint, **friend) as control:
        assert (await control.stats()).control_refused == 0
        for count in range(1, 4):
            async with AsyncControl(stage.endpoint, timeout=PATIENCE_S, **keys_of(kind, tmp_path)) as stranger:
                with pytest.raises(ControlError):
                    await stranger.ping()
            await eventually(lambda: stage.plane._doorman.refused >= count, "it was counted")  # noqa: B023
        refused = (await control.stats()).control_refused
        assert refused == 3 if kind == "unknown" else refused >= 3
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(lines) == len(set(lines)), "one for each kind in a minute"
    # Either end may see first that the keys do not fit.
    broken_off = "a control client aborted the handshake: it may have no keys, or the wrong ones"
    assert set(lines) <= ({line} if kind == "unknown" else {line, broken_off})
