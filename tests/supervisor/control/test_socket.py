"""The ROUTER socket: what leads back to a sender, and what becomes of answers that nobody reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest
import zmq

from tests.support.control.dealers import Dealer, Dealers, dealers
from tests.support.eventually import eventually
from wspulse.supervisor.control.route import PeerRoute
from wspulse.supervisor.control.socket import ControlSocket, PeerGoneError

UNREAD_BYTES = 16 * 1024 * 1024
"""doc/reference/control.md: with more than this waiting for it, or when it has read nothing for 10 s, a peer loses its
answers."""

ANSWER = b"x" * 100_000


class Stage:
    """A served socket, and what came."""

    def __init__(self, made: Dealers, folder: Path) -> None:
        self._dealers = made
        self.endpoint = f"ipc://{folder}/c"
        self.taken: list[tuple[PeerRoute, bytes]] = []
        router = made.context.socket(zmq.ROUTER)
        self.socket = ControlSocket(router, lambda route, data: self.taken.append((route, data)))
        router.bind(self.endpoint)
        self.socket.open()

    def dealer(self, *, receive_most: int = 0, identity: bytes = b"") -> Dealer:
        return self._dealers.dial(self.endpoint, receive_most=receive_most, identity=identity)

    async def route_of(self, dealer: Dealer) -> PeerRoute:
        """What leads back to this peer."""
        count = len(self.taken)
        dealer.socket.send(b"hello")
        await eventually(lambda: len(self.taken) > count, "it was heard")
        return self.taken[-1][0]

    def fill(self, route: PeerRoute) -> int:
        """Answer until the peer takes nothing more. Returns the number of answers so far."""
        count = 0
        while not self.socket.is_backlogged(route):
            self.socket.send(route, b"%d" % count + ANSWER)
            count += 1
            assert count < 1000, "it takes whatever is sent"
        return count


@contextmanager
def serve(folder: Path) -> Iterator[Stage]:
    with dealers() as peers:
        made = Stage(peers, folder)
        yield made
        made.socket.close()


async def test_answer_goes_back_the_way_that_the_message_came(tmp_path: Path) -> None:
    with serve(tmp_path) as stage:
        one, two = stage.dealer(), stage.dealer()
        one.socket.send_multipart([b"", b"label", b"from one"])
        two.socket.send(b"from two")
        await eventually(lambda: len(stage.taken) == 2, "both were heard")
        for route, data in stage.taken:
            stage.socket.send(route, b"answer to " + data)
        assert await one.parts() == [b"", b"label", b"answer to from one"]
        assert await two.parts() == [b"answer to from two"]


async def test_message_of_too_many_parts_is_passed_over(tmp_path: Path) -> None:
    with serve(tmp_path) as stage:
        dealer = stage.dealer()
        dealer.socket.send_multipart([b"part"] * 8)
        dealer.socket.send_multipart([b"part"] * 6 + [b"last"])
        await eventually(lambda: stage.taken, "the second one was heard")
        assert [data for _, data in stage.taken] == [b"last"]


async def test_hundreds_of_messages_in_one_go_are_all_taken_in_order(tmp_path: Path) -> None:
    with serve(tmp_path) as stage:
        dealer = stage.dealer()
        for number in range(500):
            dealer.socket.send(b"%d" % number)
        await eventually(lambda: len(stage.taken) == 500, "all were heard")
        assert [int(data) for _, data in stage.taken] == list(range(500))


async def test_answer_to_a_peer_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with serve(tmp_path) as stage:
        with pytest.raises(PeerGoneError):
            stage.socket.send(PeerRoute(b"\0nobody"), b"answer")
        stage.socket.close()
        with pytest.raises(PeerGoneError):
            stage.socket.send(PeerRoute(b"\0nobody"), b"answer")


async def test_answers_wait_for_a_peer_that_reads_late_and_keep_their_order(tmp_path: Path) -> None:
    with serve(tmp_path) as stage:
        late, other = stage.dealer(receive_most=1), stage.dealer()
        route = await stage.route_of(late)
        count = stage.fill(route)
        stage.socket.send(route, b"%d" % count + b"x")
        stage.socket.send(await stage.route_of(other), b"meanwhile")
        assert await other.parts() == [b"meanwhile"], "nobody else waits"
        numbers = [int((await late.parts())[0].rstrip(b"x")) for _ in range(count + 1)]
        assert numbers == list(range(count + 1))
        await eventually(lambda: not stage.socket.is_backlogged(route), "nothing waits any more")


async def test_peer_with_16_mib_of_unread_answers_loses_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serve(tmp_path) as stage:
        deaf = stage.dealer(receive_most=1)
        route = await stage.route_of(deaf)
        stage.fill(route)
        waiting_bytes = len(ANSWER) + 3
        with pytest.raises(PeerGoneError):  # noqa: PT012 - it is the answers before that count
            while True:
                stage.socket.send(route, ANSWER)
                waiting_bytes += len(ANSWER)
                assert waiting_bytes <= UNREAD_BYTES, "what nobody reads is kept without end"
        assert waiting_bytes > UNREAD_BYTES - 2 * len(ANSWER)
        assert not stage.socket.is_backlogged(route)
        assert "a control client does not read its answers; they are dropped" in caplog.text


async def test_single_answer_may_be_larger_than_what_may_wait(tmp_path: Path) -> None:
    with serve(tmp_path) as stage:
        dealer = stage.dealer()
        stage.socket.send(await stage.route_of(dealer), b"x" * (UNREAD_BYTES + 1))
        assert len((await dealer.parts())[0]) == UNREAD_BYTES + 1


class Clock:
    """The socket's clock, which the test puts forward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead_s = 0.0
        self._asked = 0
        monkeypatch.setattr("wspulse.supervisor.control.socket.monotonic", self._now)

    def _now(self) -> float:
        self._asked += 1
        return monotonic() + self.ahead_s

    async def put_forward(self, seconds: float) -> None:
        """Wait, too, until the socket has looked at the clock more than once."""
        self.ahead_s += seconds
        self._asked = 0
        await eventually(lambda: self._asked > 1, "it was looked at what waits")


async def test_peer_that_takes_nothing_for_10_s_loses_its_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock(monkeypatch)
    with serve(tmp_path) as stage:
        deaf = stage.dealer(receive_most=1)
        route = await stage.route_of(deaf)
        stage.fill(route)
        await clock.put_forward(9)
        assert stage.socket.is_backlogged(route)
        clock.ahead_s += 1.5
        await eventually(lambda: not stage.socket.is_backlogged(route), "what waits is dropped")
        assert "a control client does not read its answers; they are dropped" in caplog.text


async def test_peer_that_reads_slowly_keeps_its_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    with serve(tmp_path) as stage:
        slow = stage.dealer(receive_most=1)
        route = await stage.route_of(slow)
        count = stage.fill(route)
        for number in range(count, count + 150):
            stage.socket.send(route, b"%d" % number + ANSWER)
        await clock.put_forward(9)
        numbers = [int((await slow.parts())[0].rstrip(b"x")) for _ in range(100)]
        await clock.put_forward(9)
        assert stage.socket.is_backlogged(route)
        numbers += [int((await slow.parts())[0].rstrip(b"x")) for _ in range(count + 150 - 100)]
        assert numbers == list(range(count + 150))


async def test_end_of_a_peer_lets_go_of_what_waits_for_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serve(tmp_path) as stage:
        deaf = stage.dealer(receive_most=1)
        route = await stage.route_of(deaf)
        stage.fill(route)
        deaf.socket.close()
        await eventually(lambda: not stage.socket.is_backlogged(route), "what waits is dropped")
        assert not caplog.records


async def test_answer_goes_to_the_connection_that_asked_and_to_no_other_of_its_identity(tmp_path: Path) -> None:
    with serve(tmp_path) as stage:
        asked = await stage.route_of(stage.dealer(identity=b"backend"))
        second = stage.dealer(identity=b"backend")
        asked_later = await stage.route_of(second)
        with pytest.raises(PeerGoneError):
            stage.socket.send(asked, b"for the first")
        stage.socket.send(asked_later, b"for the second")
        assert await second.parts() == [b"for the second"]


async def test_client_that_comes_again_under_its_identity_is_answered(tmp_path: Path) -> None:
    with serve(tmp_path) as stage:
        for number in range(3):
            client = stage.dealer(identity=b"backend")
            stage.socket.send(await stage.route_of(client), b"%d" % number)
            assert await client.parts() == [b"%d" % number]
            client.socket.close()


async def test_answers_that_wait_for_one_of_an_identity_are_not_lost_with_those_for_the_other(tmp_path: Path) -> None:
    with serve(tmp_path) as stage:
        first = stage.dealer(identity=b"backend", receive_most=1)
        stage.fill(await stage.route_of(first))
        second = stage.dealer(identity=b"backend")
        route = await stage.route_of(second)
        stage.socket.send(route, b"for the second")
        while (parts := await second.parts()) != [b"for the second"]:
            # ZeroMQ gives it what is sent to their name from when it is connected, before it is heard.
            assert parts[-1].endswith(ANSWER)
        await eventually(lambda: not stage.socket._unsent, "what the other did not take is dropped")
