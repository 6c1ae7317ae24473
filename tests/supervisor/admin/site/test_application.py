"""What the admin address answers, over HTTP, in front of a control plane whose shards are only pretended."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.control.admin_stage import TOKEN, admin_stage, ask
from tests.support.control.exposition_lint import lint
from tests.support.eventually import eventually
from wspulse.actors.mesh.message import (
    BroadcastPayload,
    ConnectionList,
    ConnectionRecord,
    GetStats,
    Kick,
    ListConnections,
)
from wspulse.actors.values.errors import ConnectionNotFoundError
from wspulse.supervisor.admin.site import application
from wspulse.supervisor.control.operations import Operations
from wspulse.supervisor.moving.scaling import Scaled
from wspulse.supervisor.moving.turn import Moved
from wspulse.supervisor.process.child import ChildState
from wspulse.supervisor.protocol.curve import write_pair

_serials = itertools.count(1)


def record(name: str, room: str = "lobby") -> ConnectionRecord:
    return ConnectionRecord(
        name, room, 0, incarnation=1, serial=next(_serials), state="connected", connected_at=1.7e9, queued_frames=0
    )


# For everybody.


async def test_server_that_is_well_is_alive_and_ready_and_counted(tmp_path: Path) -> None:
    async with admin_stage(tmp_path) as stage:
        for path in ("/live", "/ready"):
            answer = await stage.get(path)
            assert (answer.status, answer.text) == (200, "ok\n")
        metrics = await stage.get("/metrics")
        assert metrics.status == 200
        assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert 'wspulse_build_info{version="' in metrics.text
        assert lint(metrics.text) == []


async def test_server_that_is_not_ready_says_why_and_is_alive_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wspulse.supervisor.admin.site.shared_call.REST", 0.0)
    async with admin_stage(tmp_path) as stage:
        stage.control.pretended[1].state = ChildState.WAITING
        stage.control.health.fail("the runtime directory is gone")
        answer = await stage.get("/ready")
        assert answer.status == 503
        assert answer.text == "the runtime directory is gone\nworker 1 is waiting\n"
        assert (await stage.get("/live")).status == 200


async def test_server_that_does_not_answer_is_neither_alive_nor_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(application, "ANSWER_S", 0.05)
    for operation in ("ping", "stats", "metrics"):
        monkeypatch.setattr(Operations, operation, hang)
    async with admin_stage(tmp_path) as stage:
        for path in ("/live", "/ready", "/metrics"):
            answer = await stage.get(path)
            assert answer.status == 503
            assert "did not answer within 0.05 s" in answer.text


async def test_page_is_served_with_a_strict_policy_and_asked_for_again_for_nothing(tmp_path: Path) -> None:
    async with admin_stage(tmp_path) as stage:
        for path in ("/", "/theme.css", "/page.css", "/page.js", "/panels.js", "/charts.js", "/server.js", "/icon.svg"):
            page = await stage.get(path)
            assert page.status == 200
            assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; ")
            assert page.headers["x-content-type-options"] == "nosniff"
            assert b"http://" not in page.body.replace(b"http://www.w3.org/", b""), "nothing from elsewhere"
            assert b"https://" not in page.body
            known = await stage.get(path, If_None_Match=page.headers["etag"])
            assert (known.status, known.body) == (304, b"")
        head = await ask(stage.port, "/", "HEAD")
        assert (head.status, head.body) == (200, b"")


async def test_what_is_not_there_and_what_is_not_allowed(tmp_path: Path) -> None:
    async with admin_stage(tmp_path) as stage:
        for path in ("/index.html", "/../main.py", "/%2e%2e/main.py", "/api/shutdown", "/api/", "/metrics/"):
            assert (await stage.get(path)).status == 404, path
        assert (await ask(stage.port, "/", "POST")).status == 405
        assert (await stage.get("/api/kick")).status == 405
        assert (await ask(stage.port, "/api/connections", "POST")).status == 405


# For those who may read.


async def test_connections_are_searched(tmp_path: Path) -> None:
    async with admin_stage(tmp_path) as stage:
        records = [record("ada"), record("bob", "a&b=ü"), record("<b>", "")]
        stage.control.shards[0].answers[ListConnections] = ConnectionList(records)
        found = (await stage.get("/api/connections?text=AD")).json()
        assert [row["id"] for row in found["rows"]] == ["ada"]
        assert found["found"] == 1
        found = (await stage.get("/api/connections?text=&room=a%26b%3D%C3%BC")).json()
        assert [row["id"] for row in found["rows"]] == ["bob"]
        found = (await stage.get("/api/connections?room=")).json()
        assert [row["id"] for row in found["rows"]] == ["<b>"]
        assert (await stage.get(f"/api/connections?text={'x' * 1100}")).status == 400


async def test_many_who_ask_at_once_are_one_question_to_the_workers(tmp_path: Path) -> None:
    async with admin_stage(tmp_path, workers=1) as stage:
        (shard,) = stage.control.shards
        shard.asked.clear()
        answers = await asyncio.gather(*(stage.get("/api/connections?text=") for _ in range(20)))
        assert {answer.status for answer in answers} == {200}
        assert sum(isinstance(message, ListConnections) for message in shard.asked) == 1
        answers = await asyncio.gather(*(stage.get("/ready") for _ in range(20)))
        assert {answer.status for answer in answers} == {200}
        assert sum(isinstance(message, GetStats) for message in shard.asked) == 1


async def test_access_tells_what_a_client_may_do(tmp_path: Path) -> None:
    async with admin_stage(tmp_path) as stage:
        nobody = {"reads": True, "changes": False, "has_token": True}
        assert (await stage.get("/api/access")).json() == nobody
        shown = await stage.get("/api/access", Authorization=f"Bearer {TOKEN}")
        assert shown.json() == nobody | {"changes": True}
        assert (await stage.get("/api/access", Host="evil.example")).json() == nobody | {"reads": False}
        assert (await stage.get("/api/connections", Host="evil.example")).status == 401
        assert (await stage.get("/api/look", Host="evil.example")).status == 401


# For those who may change something.


async def test_orders_are_carried_out_with_the_token_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with admin_stage(tmp_path) as stage:
        control = stage.control
        control.answer = Moved(0, 3, 0, 0.004)
        assert (await stage.order("restart", {"shard": 1})).json()["result"]["moved"] == 3
        control.answer = [Moved(0, 1, 0, 0.1), Moved(1, 2, 0, 0.2)]
        answer = await stage.order("reload", {})
        assert [each["moved"] for each in answer.json()["result"]] == [1, 2]
        control.answer = Scaled(5, 0, 0.0, 4)
        assert (await stage.order("scale", {"workers": 4})).json()["result"]["workers"] == 4
        assert control.plans == [("restart", 1, False), ("reload", False), ("scale", 4)]
        assert (await stage.order("broadcast", b'{"room": "r", "payload": {"n": 9007199254740993}}')).status == 200
        assert (await stage.order("kick", {"connection": "ada", "code": 4000, "reason": "no"})).status == 200
        asked = [message for shard in control.shards for message in shard.asked]
        assert Kick("ada", 4000, "no") in asked
        (told,) = [message for message in asked if isinstance(message, BroadcastPayload)]
        assert b"9007199254740993" in told.frame, "numbers that JavaScript cannot hold stay what they are"
        logged = [each.__dict__ for each in caplog.records if each.message == "the operator's page gave an order"]
        assert [(each["order"], each["client"], each["status"]) for each in logged] == [
            (order, "127.0.0.1", 200) for order in ("restart", "reload", "scale", "broadcast", "kick")
        ]
        assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    ("order", "body"),
    [
        ("kick", {"connection": "ada"}),
        ("broadcast", {"room": "r", "payload": 1}),
        ("reload", {}),
        ("restart", {"shard": 0}),
        ("scale", {"workers": 2}),
    ],
)
async def test_nothing_is_changed_without_the_token_nor_for_other_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str, body: Any
) -> None:
    monkeypatch.setattr(application, "WRONG_TOKEN_S", 0.0)
    async with admin_stage(tmp_path) as stage:
        for shard in stage.control.shards:
            shard.asked.clear()
        assert (await stage.order(order, body, Authorization="")).status == 401
        assert (await stage.order(order, body, Authorization=f"Bearer {TOKEN}x")).status == 401
        assert (await stage.order(order, body, Origin="https://evil.example")).status == 403
        assert (await stage.order(order, body, Content_Type="text/plain")).status == 415
        assert stage.control.plans == []
        assert [shard.asked for shard in stage.control.shards] == [[], []]


async def test_server_without_a_token_only_shows(tmp_path: Path) -> None:
    async with admin_stage(tmp_path, has_token=False) as stage:
        answer = await stage.order("reload", {})
        assert answer.status == 403
        assert answer.json()["error"]["code"] == "read_only"
        assert (await stage.get("/api/connections")).status == 200
        assert stage.control.plans == []


async def test_wrong_tokens_wait_and_the_right_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waits: list[asyncio.Future[None]] = []

    async def wait(_delay_s: float) -> None:
        waits.append(asyncio.get_running_loop().create_future())
        await waits[-1]

    async with admin_stage(tmp_path) as stage:
        monkeypatch.setattr(application, "sleep", wait)
        guesses = [asyncio.create_task(stage.order("reload", {}, Authorization="Bearer guess")) for _ in range(16)]
        await eventually(lambda: len(waits) == 16, "the wrong ones wait")
        assert (await stage.order("reload", {}, Authorization="Bearer guess")).status == 429, "no more at once"
        stage.control.answer = []
        assert (await stage.order("reload", {})).status == 200
        assert not any(guess.done() for guess in guesses)
        for each in waits:
            each.set_result(None)
        assert {(await guess).status for guess in guesses} == {401}
    told = [each.__dict__ for each in caplog.records if each.message == "the admin address was sent a wrong token"]
    assert 1 <= len(told) < 17, "whoever tries many does not fill the log"
    assert told[0]["client"] == "127.0.0.1"
    assert "guess" not in caplog.text


@pytest.mark.parametrize(
    ("order", "body", "status", "code"),
    [
        ("kick", {"connection": "nobody"}, 404, "connection_not_found"),
        ("kick", {"connection": "ada", "code": 1005}, 400, "bad_request"),
        ("kick", {}, 400, "bad_request"),
        ("kick", {"connection": "ada", "more": 1}, 400, "bad_request"),
        ("kick", b"[" * 5000, 400, "bad_request"),
        ("scale", {"workers": "many"}, 400, "bad_request"),
        ("restart", {"shard": 9}, 400, "bad_request"),
        ("broadcast", b'{"room": "r", "payload": {]}', 400, "bad_request"),
        ("broadcast", b'{"room": "r", "payload": "' + b"x" * 70_000 + b'"}', 413, "bad_request"),
    ],
)
async def test_wrong_orders_are_refused_with_the_reason(
    tmp_path: Path, order: str, body: Any, status: int, code: str
) -> None:
    async with admin_stage(tmp_path) as stage:
        for shard in stage.control.shards:
            shard.answers[Kick] = ConnectionNotFoundError("nobody")
        answer = await stage.order(order, body)
        assert answer.status == status
        error = json.loads(answer.body)["error"]
        assert error["code"] == code
        assert error["message"]


async def test_request_whose_body_does_not_come_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "BODY_S", 0.05)
    async with admin_stage(tmp_path) as stage:
        answer = await stage.order("reload", b"{", Content_Length="2")
        assert answer.status == 408


async def test_reading_needs_the_control_socket_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with admin_stage(tmp_path) as stage:
        stage.control.is_ending = True
        answer = await stage.get("/api/connections")
        assert answer.status == 503
        assert answer.json()["error"]["code"] == "server_closed"


async def test_control_socket_that_wants_keys_lets_its_own_process_in(tmp_path: Path) -> None:
    public, secret = write_pair(tmp_path, "server")
    keys: dict[str, Any] = {"control_server_key": str(secret), "control_client_keys": str(public)}
    async with admin_stage(tmp_path, control="tcp://127.0.0.1:0", up=False, **keys) as stage:
        assert (await stage.get("/live")).status == 200


async def test_end_does_not_wait_for_an_order_that_takes_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Event()

    async def hang(*_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Operations, "reload", hang)
    async with asyncio.timeout(5), admin_stage(tmp_path) as stage:
        order = asyncio.create_task(stage.order("reload", {}))
        await begun.wait()
    with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
        await order
