"""A mounted server: what the ASGI application says to its server, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.http.asgi_peer import AsgiPeer
from tests.support.shards.eager_tasks import eager_tasks
from wspulse import Connection, ConnectionNotFoundError, ConnectRejected, Frame, Request, SendBufferFullError, Server
from wspulse.actors.asgi.mounted import one_of_several


def identify(request: Request) -> tuple[str, str]:
    return request.query.get("room", "lobby"), request.query.get("id", "")


class Ends:
    """What on_disconnect reported, by connection id."""

    def __init__(self, server: Server) -> None:
        self.errors: dict[str, BaseException | None] = {}
        server.on_disconnect(self._note)

    def _note(self, connection: Connection, error: BaseException | None) -> None:
        self.errors[connection.id] = error

    async def name_of(self, connection_id: str) -> str:
        await eventually(lambda: connection_id in self.errors, f"{connection_id} has ended", 5)
        return type(self.errors[connection_id]).__name__


@asynccontextmanager
async def running(server: Server) -> AsyncIterator[None]:
    async with server.asgi_lifespan():
        yield


async def test_frames_go_both_ways_in_text_and_the_rest_of_the_contract_is_the_shards() -> None:
    server = Server(identify, subprotocols=["chat.v2", "chat.v1"])

    @server.on_message
    async def relay(connection: Connection, frame: Frame) -> None:
        await server.broadcast(connection.room_id, frame)

    async with running(server), AsgiPeer(server.asgi(), "id=a") as peer:
        peer.say('{"event":"hi","payload":"ä"}')
        peer.say(b'{"event":"binary"}')
        assert await peer.gets(3) == [
            {"type": "websocket.accept", "subprotocol": "chat.v1", "headers": []},
            {"type": "websocket.send", "text": '{"event":"hi","payload":"ä"}'},
            {"type": "websocket.send", "text": '{"event":"binary"}'},
        ]
        await server.send("a", Frame("direct"))
        assert (await peer.gets(4))[-1] == {"type": "websocket.send", "text": '{"event":"direct"}'}
        await server.kick("a")
        assert (await peer.gets(5))[-1] == {"type": "websocket.close", "code": 1000, "reason": "kicked"}


async def test_request_is_read_from_the_scope_and_has_it() -> None:
    requests: list[Request] = []

    def connect(request: Request) -> tuple[str, str]:
        requests.append(request)
        return identify(request)

    async with running(server := Server(connect)), AsgiPeer(server.asgi(), "id=a&token=t%20t") as peer:
        await peer.gets(1)
    (request,) = requests
    assert (request.method, request.path, request.query["token"]) == ("GET", "/ws/ä", "t t")
    assert (request.cookies, request.remote_address) == ({"session": "abc"}, ("10.0.0.1", 1234))
    assert request.scope is not None
    assert request.scope["session"] == {"user": "ann"}


@pytest.mark.parametrize("with_extension", [True, False])
async def test_rejection_is_an_http_answer_where_the_server_can_send_one_else_a_close(with_extension: bool) -> None:
    def connect(_: Request) -> tuple[str, str]:
        raise ConnectRejected("bad token", 402)

    server = Server(connect)
    async with running(server), AsgiPeer(server.asgi(), extensions=with_extension) as peer:
        if with_extension:
            start, body = await peer.gets(2)
            assert (start["type"], start["status"]) == ("websocket.http.response.start", 402)
            assert body == {"type": "websocket.http.response.body", "body": b"bad token", "more_body": False}
        else:
            assert await peer.gets(1) == [{"type": "websocket.close", "code": 1008, "reason": "bad token"}]


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (1000, "", "NoneType"),
        (1001, None, "NoneType"),
        (1005, "", "NoneType"),
        (1005, None, "ConnectionLostError"),
        (1006, None, "ConnectionLostError"),
        (4000, "mine", "PeerClosedError"),
        (1015, "", "ConnectionLostError"),
    ],
)
async def test_end_of_the_connection_is_reported_as_its_code_says(code: int, reason: str | None, error: str) -> None:
    server = Server(identify)
    ends = Ends(server)
    async with running(server), AsgiPeer(server.asgi(), "id=a") as peer:
        await peer.gets(1)
        peer.leave(code, reason)
        assert await ends.name_of("a") == error


async def test_message_over_the_limit_closes_with_1009() -> None:
    server = Server(identify, max_message_size=100)
    ends = Ends(server)
    async with running(server), AsgiPeer(server.asgi(), "id=a") as peer:
        peer.say("x" * 101)
        assert (await peer.gets(2))[-1]["code"] == 1009
        assert await ends.name_of("a") == "ProtocolError"


async def send_for_ever(server: Server, connection_id: str) -> None:
    for number in range(1000):
        await server.send(connection_id, Frame("numbered", number))
        await asyncio.sleep(0.01)


async def test_peer_that_takes_nothing_fills_its_buffer_then_is_cut_off() -> None:
    server = Server(identify, send_buffer_size=8, write_wait=0.5)
    ends = Ends(server)
    async with (
        running(server),
        AsgiPeer(server.asgi(), "id=slow") as slow,
        AsgiPeer(server.asgi(), "id=swift") as swift,
    ):
        await slow.gets(1)
        slow.reads.clear()
        with pytest.raises(SendBufferFullError):
            await send_for_ever(server, "slow")
        await server.broadcast("lobby", Frame("to all"))
        assert (await swift.gets(2))[-1]["text"] == '{"event":"to all"}'
        assert await ends.name_of("slow") == "WriteTimeoutError"
        await eventually(slow.task.done, "the application has let go of the slow one", 5)


async def test_slow_peer_that_reads_again_gets_the_newest_broadcasts_in_order() -> None:
    server = Server(identify, send_buffer_size=8)
    async with running(server), AsgiPeer(server.asgi(), "id=slow") as slow:
        await slow.gets(1)
        slow.reads.clear()
        for number in range(40):
            await server.broadcast("lobby", Frame(f"{number}"))
            await asyncio.sleep(0.01)
        slow.reads.set()
        await eventually(lambda: slow.sent[-1].get("text") == '{"event":"39"}', "the newest has come", 5)
        numbers = [int(event["text"][10:-2]) for event in slow.sent[1:]]
        assert numbers == sorted(set(numbers))
        assert numbers[-8:] == list(range(32, 40))
        assert len(numbers) < 40


async def test_slow_handler_stops_the_reading_of_its_own_connection() -> None:
    server = Server(identify)
    gate, handled = asyncio.Event(), 0

    @server.on_message
    async def slowly(_connection: Connection, _frame: Frame) -> None:
        nonlocal handled
        await gate.wait()
        handled += 1

    async with running(server), AsgiPeer(server.asgi()) as peer:
        for _ in range(100):
            peer.say("{}")
        for _ in range(500):  # all of this is in one loop: nothing else could bring it on
            await asyncio.sleep(0)
        assert 70 < peer.unread < 100
        gate.set()
        await eventually(lambda: handled == 100, "all is handled", 5)


async def test_session_is_resumed_over_asgi() -> None:
    server = Server(identify, resume_window=10)
    async with running(server):
        async with AsgiPeer(server.asgi(), "id=a") as first:
            await first.gets(1)
        await server.send("a", Frame("while away"))
        async with AsgiPeer(server.asgi(), "id=a") as again:
            assert (await again.gets(2))[1]["text"] == '{"event":"while away"}'


async def test_server_starts_by_itself_where_no_lifespan_reaches_it() -> None:
    starts: list[int] = []
    server = Server(identify, on_connect=None)
    server.on_start(lambda: starts.append(server.workers))
    application = server.asgi()
    await server.broadcast("lobby", Frame())
    assert await server.get_connections("lobby") == []
    with pytest.raises(ConnectionNotFoundError):
        await server.send("a", Frame())
    async with AsgiPeer(application, "id=a") as peer:
        await peer.gets(1)
    assert starts == [1]
    await server.close()


async def drive_lifespan(application: Any) -> list[str]:
    incoming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    said: list[str] = []

    async def receive() -> dict[str, Any]:
        return incoming.pop(0)

    async def send(event: dict[str, Any]) -> None:
        said.append(event["type"])

    await application({"type": "lifespan"}, receive, send)
    return said


async def test_lifespan_runs_on_start_and_on_stop() -> None:
    calls: list[str] = []
    server = Server(identify)
    server.on_start(lambda: calls.append("start"))
    server.on_stop(lambda: calls.append("stop"))
    for _ in range(2):  # a test client begins the same application again
        assert await drive_lifespan(server.asgi()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert calls == ["start", "stop"] * 2


async def test_lifespan_fails_when_on_start_raises() -> None:
    server = Server(identify, logger=logging.getLogger("wspulse.test"))

    @server.on_start
    def start() -> None:
        raise RuntimeError("no database")

    assert await drive_lifespan(server.asgi()) == ["lifespan.startup.failed"]


async def test_start_that_failed_is_tried_again_by_the_next_connection() -> None:
    server = Server(identify)
    outcomes = iter([RuntimeError("no database"), None])

    @server.on_start
    def start() -> None:
        if (error := next(outcomes)) is not None:
            raise error

    application = server.asgi()
    with pytest.raises(RuntimeError, match="no database"):
        await server.broadcast("lobby", Frame())
    async with AsgiPeer(application, "id=a") as peer:
        assert (await peer.gets(1))[0]["type"] == "websocket.accept"
    await server.close()


async def test_end_of_the_lifespan_says_1001_to_all() -> None:
    server = Server(identify)
    ends = Ends(server)
    async with running(server):
        async with AsgiPeer(server.asgi(), "id=a") as peer:
            await peer.gets(1)
            closing = asyncio.create_task(server.close())
            assert (await peer.gets(2))[-1] == {
                "type": "websocket.close",
                "code": 1001,
                "reason": "server shutting down",
            }
        await closing
        async with AsgiPeer(server.asgi(), "id=b") as late:
            assert (await late.gets(1))[0]["status"] == 503
    assert await ends.name_of("a") == "ServerClosedError"


async def test_request_that_is_no_websocket_is_told_so() -> None:
    sent: list[dict[str, Any]] = []

    async def send(event: Any) -> None:
        sent.append(event)

    async def receive() -> dict[str, Any]:
        return {}

    await Server(identify).asgi()({"type": "http"}, receive, send)
    assert sent[0]["status"] == 426


@pytest.mark.parametrize(
    ("arguments", "environ", "expected"),
    [
        (["uvicorn", "app:app"], {}, False),
        (["uvicorn", "app:app", "--workers", "4"], {}, True),
        (["uvicorn", "app:app", "--workers=4"], {}, True),
        (["hypercorn", "-w", "2", "app:app"], {}, True),
        (["gunicorn", "-w2", "app:app"], {}, True),
        (["uvicorn", "app:app", "--workers", "1"], {}, False),
        (["uvicorn", "app:app"], {"WEB_CONCURRENCY": "3"}, True),
        (["program", "-webserver"], {}, False),
    ],
)
def test_several_processes_are_recognised(arguments: list[str], environ: dict[str, str], expected: bool) -> None:
    assert one_of_several(arguments, environ) is expected


async def test_several_processes_are_warned_about(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    async with running(Server(identify)):
        assert 'server.asgi(join="ipc://…control.sock")' in caplog.text


async def test_peer_is_told_1001_when_the_asgi_server_cancels_its_application() -> None:
    server = Server(identify)
    ends = Ends(server)
    async with running(server), AsgiPeer(server.asgi(), "id=a") as peer:
        await peer.gets(1)
        peer.task.cancel()
        assert (await peer.gets(2))[-1] == {"type": "websocket.close", "code": 1001, "reason": "server shutting down"}
        assert await ends.name_of("a") == "ConnectionLostError"
        await eventually(peer.task.cancelled, "the cancellation is passed on", 5)


async def test_application_that_ends_the_process_in_on_start_fails_the_lifespan() -> None:
    server = Server(identify)

    @server.on_start
    def leave() -> None:
        raise SystemExit("no configuration")

    with pytest.raises(SystemExit, match="no configuration"):
        await drive_lifespan(server.asgi())
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(event: Any) -> None:
        sent.append(event)

    with pytest.raises(SystemExit):
        await server.asgi()({"type": "lifespan"}, receive, send)
    assert sent == [{"type": "lifespan.startup.failed", "message": "no configuration"}]


async def test_server_whose_loop_begins_tasks_at_once_says_everything_in_order() -> None:
    asyncio.get_running_loop().set_task_factory(eager_tasks)
    server = Server(identify)

    @server.on_message
    async def count(connection: Connection, frame: Frame) -> None:
        for number in range(3):
            await connection.send(Frame(f"{frame.event}{number}"))

    async with running(server), AsgiPeer(server.asgi(), "id=a") as peer:
        for number in range(5):
            peer.say(f'{{"event":"x{number}-"}}')
            said = await peer.gets(1 + 3 * (number + 1))
        peer.reads.clear()
        for number in range(5, 8):
            peer.say(f'{{"event":"x{number}-"}}')
        await eventually(lambda: not peer.unread, "all were read")
        assert sum("_send_queue" in repr(task) for task in asyncio.all_tasks()) == 1
        peer.reads.set()
        said = await peer.gets(1 + 3 * 8)
        texts = [event["text"] for event in said[1:]]
        assert texts == [f'{{"event":"x{one}-{two}"}}' for one in range(8) for two in range(3)]
