"""`HostCalls`: questions from host to host."""

from __future__ import annotations

import asyncio
import time
from random import Random

import pytest

from tests.support.cluster.flaky_client import FlakyClient
from tests.support.cluster.hosts_stage import CLUSTER, Host, connected, host_info, hosts_on
from tests.support.eventually import eventually
from tests.support.processes.nats_servers import NatsServers
from wspulse.supervisor.cluster.hosts import answering
from wspulse.supervisor.cluster.hosts.call_wire import MAX_BYTES, AnswerPiece, Question, ToAsker, host_subject
from wspulse.supervisor.cluster.hosts.clocks import clock
from wspulse.supervisor.cluster.hosts.errors import HostCallError, HostGoneError, HostTimeoutError


async def test_host_answers_another_one(url: str) -> None:
    async with hosts_on(url, "a", "b") as (a, b):
        assert await a.calls.ask("b", b.info.life, b"question", timeout_s=5) == b"b:question"
        assert await b.calls.ask("a", a.info.life, b"", timeout_s=5) == b"a:"
        assert await a.calls.ask("a", a.info.life, b"myself", timeout_s=5) == b"a:myself"


async def test_questions_that_come_one_after_another_are_begun_in_that_order(url: str) -> None:
    async with hosts_on(url, "a", "b") as (a, b):
        begun: list[int] = []

        async def answer(payload: bytes) -> bytes:
            begun.append(int(payload))
            await asyncio.sleep(0.001 * (int(payload) % 7))
            return payload

        b.answer = answer
        asked = [a.calls.ask("b", b.info.life, b"%d" % number, timeout_s=10) for number in range(500)]
        assert await asyncio.gather(*asked) == [b"%d" % number for number in range(500)]
        assert begun == list(range(500))


async def test_what_goes_wrong_there_is_told(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with hosts_on(url, "a", "b") as (a, b):

        async def answer(_payload: bytes) -> bytes:
            raise LookupError("no such thing")

        b.answer = answer
        with pytest.raises(HostCallError, match="host 'b' LookupError: no such thing"):
            await a.calls.ask("b", b.info.life, b"", timeout_s=5)
        assert "a question of another host was not answered" in caplog.messages


async def test_large_questions_and_answers_travel_in_pieces(url: str, draw: Random) -> None:
    async with hosts_on(url, "a", "b") as (a, b):
        payloads = [draw.randbytes(size) for size in (2**20 - 1025, 2**20 - 1024, 2**20, 5_000_000)] * 2
        answers = await asyncio.gather(*[a.calls.ask("b", b.info.life, each, timeout_s=20) for each in payloads])
        assert answers == [b"b:" + each for each in payloads]
        await eventually(lambda: b.calls._answering._kept_bytes < 2**20, "what has arrived is not kept")


async def test_what_is_too_large_is_refused_on_either_side(url: str) -> None:
    async with hosts_on(url, "a", "b") as (a, b):
        with pytest.raises(ValueError, match="a question of 67108865 bytes; allowed: up to 67108864"):
            await a.calls.ask("b", b.info.life, bytes(MAX_BYTES + 1), timeout_s=5)

        async def answer(_payload: bytes) -> bytes:
            return bytes(MAX_BYTES + 1)

        b.answer = answer
        with pytest.raises(HostCallError, match="an answer of 67108865 bytes; allowed: up to 67108864"):
            await a.calls.ask("b", b.info.life, b"", timeout_s=5)


async def test_host_that_is_gone_is_gone_at_once(url: str) -> None:
    async with hosts_on(url, "a") as (a,):
        b = Host(await connected(url), host_info("b"))
        await b.join()
        await a.calls.ask("b", b.info.life, b"", timeout_s=5)
        await b.vanish()
        assert "b" in a.membership.hosts
        began = time.monotonic()
        with pytest.raises(HostGoneError, match="host 'b' is gone"):
            await a.calls.ask("b", b.info.life, b"", timeout_s=20)
        assert time.monotonic() - began < 2  # what was under way to it is asked again after half a second
        assert await a.calls.ask_all(b"", timeout_s=20) == {}


async def test_host_that_was_never_heard_is_gone_after_a_moment_and_then_at_once(url: str) -> None:
    async with hosts_on(url, "a") as (a,):
        times = [time.monotonic()]
        for _ in range(2):
            with pytest.raises(HostGoneError):
                await a.calls.ask("b", 1, b"", timeout_s=20)
            times.append(time.monotonic())
        assert 0.9 < times[1] - times[0] < 5
        assert times[2] - times[1] < 0.5


async def test_host_that_joins_while_it_is_asked_answers(url: str) -> None:
    async with hosts_on(url, "a") as (a,):
        info = host_info("b")
        asking = asyncio.create_task(a.calls.ask("b", info.life, b"early", timeout_s=20))
        await asyncio.wait({asking}, timeout=0.1)
        b = Host(await connected(url), info)
        await b.join()
        assert await asking == b"b:early"
        await b.end()


async def test_host_that_goes_while_it_works_is_gone_at_once(url: str) -> None:
    async with hosts_on(url, "a") as (a,):
        b = Host(await connected(url), host_info("b"))
        await b.join()
        at_work = asyncio.Event()

        async def answer(_payload: bytes) -> bytes:
            at_work.set()
            await asyncio.sleep(60)
            return b""

        b.answer = answer
        asking = asyncio.create_task(a.calls.ask("b", b.info.life, b"", timeout_s=20))
        await at_work.wait()
        await asyncio.wait({asking}, timeout=0.6)  # it has said that it is there
        await b.vanish()
        began = time.monotonic()
        with pytest.raises(HostGoneError):
            await asking
        assert time.monotonic() - began < 3.0


async def test_answer_that_does_not_come_in_time_is_a_timeout(url: str) -> None:
    async with hosts_on(url, "a", "b") as (a, b):

        async def answer(_payload: bytes) -> bytes:
            await asyncio.sleep(60)
            return b""

        b.answer = answer
        with pytest.raises(HostTimeoutError, match="host 'b' did not answer in time"):
            await a.calls.ask("b", b.info.life, b"", timeout_s=0.3)
        began = time.monotonic()
        assert await a.calls.ask_all(b"", timeout_s=1.3) == {}  # it is there, and slow
        assert time.monotonic() - began > 1.2


async def test_asker_whose_host_ends_is_told(url: str) -> None:
    async with hosts_on(url, "b") as (b,):
        a = Host(await connected(url), host_info("a"))
        await a.join()
        at_work = asyncio.Event()

        async def answer(_payload: bytes) -> bytes:
            at_work.set()
            await asyncio.sleep(60)
            return b""

        b.answer = answer
        asking = asyncio.create_task(a.calls.ask("b", b.info.life, b"", timeout_s=20))
        await at_work.wait()
        await a.end()
        with pytest.raises(HostTimeoutError):
            await asking


@pytest.mark.race
async def test_what_is_lost_or_comes_twice_is_answered_once(url: str, draw: Random, race_rounds: int) -> None:
    async with hosts_on(url, "a", "b") as (a, b):
        clients = [FlakyClient.of(host.client, draw, 0.2) for host in (a, b)]
        worked_out: list[bytes] = []

        async def answer(payload: bytes) -> bytes:
            worked_out.append(payload[:8])
            await asyncio.sleep(draw.random() * 0.1)
            return payload[::-1]

        b.answer = answer
        payloads = [
            b"%08d" % number + draw.randbytes(1_500_000 if number % 25 == 0 else 10)
            for number in range(40 * race_rounds)
        ]
        answers = await asyncio.gather(*[a.calls.ask("b", b.info.life, each, timeout_s=60) for each in payloads])
        assert answers == [each[::-1] for each in payloads]
        assert sorted(worked_out) == [each[:8] for each in payloads]
        assert sum(client.faults for client in clients) > 20
        for client in clients:
            await client.settled()


async def test_question_that_takes_long_is_answered_once_however_many_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "_REMEMBERED", 10)
    begun: list[bytes] = []
    goes_on = asyncio.Event()

    async def answer(payload: bytes, _left_s: float) -> bytes:
        begun.append(payload)
        if payload == b"long":
            await goes_on.wait()
        return payload

    told: list[tuple[str, ToAsker]] = []

    async def send(reply: str, message: ToAsker) -> None:
        told.append((reply, message))

    jobs = answering.Answering(answer, send, lambda: 1000)
    jobs._clocks.confirm("asker", 0.0, clock() - 0.1)  # it was heard before

    def question(payload: bytes, left_s: float) -> Question:
        return Question(len(payload), left_s, payload, 0.0)

    long = question(b"long", 3600)
    await jobs.take("asker.long", long)
    for number in range(30):
        await jobs.take(f"asker.{number}", question(b"s", 10))
        await eventually(lambda number=number: told and told[-1][0] == f"asker.{number}", "answered")  # type: ignore[misc]
    await jobs.take("asker.long", long)  # its asker has heard nothing yet
    await jobs.take("asker.29", question(b"s", 10))
    assert (begun.count(b"long"), len(begun)) == (1, 31)
    goes_on.set()
    await eventually(lambda: ("asker.long", AnswerPiece(4, 0, b"long")) in told, "answered")
    await jobs.close()


async def test_question_that_nats_held_up_until_its_asker_gave_up_is_never_done(servers: NatsServers, url: str) -> None:
    async with hosts_on(url, "a", "b") as (a, b):
        done: list[bytes] = []

        async def answer(payload: bytes) -> bytes:
            done.append(payload)
            return payload

        b.answer = answer
        assert await a.calls.ask("b", b.info.life, b"before", timeout_s=5) == b"before"
        servers.pause(0)
        try:
            for late in (b"late", b"later"):
                with pytest.raises(HostTimeoutError):
                    await a.calls.ask("b", b.info.life, late, timeout_s=0.7)
        finally:
            servers.go_on(0)
        assert await a.calls.ask("b", b.info.life, b"behind", timeout_s=5) == b"behind"
        await eventually(lambda: not b.calls._answering._tasks, "what nobody waits for is given up")
        assert done == [b"before", b"behind"]


async def test_all_others_are_asked_and_one_that_fails_is_left_out(url: str) -> None:
    async with hosts_on(url, "a", "b", "c", "d") as (a, _b, _c, d):

        async def answer(_payload: bytes) -> bytes:
            raise LookupError

        d.answer = answer
        assert await a.calls.ask_all(b"?", timeout_s=5) == {"b": b"b:?", "c": b"c:?"}


async def test_host_that_does_not_respond_is_left_out_at_once_until_it_does(url: str) -> None:
    async with hosts_on(url, "a", "b", "c") as (a, _b, c):
        c_subject = host_subject(CLUSTER, "c", c.info.life)
        deaf = await connected(url)
        await c.calls._subscriptions[1].unsubscribe()
        await deaf.subscribe(c_subject)  # somebody is there, as NATS sees it
        await deaf.flush()
        times = [time.monotonic()]
        try:
            for _ in range(2):
                assert await a.calls.ask_all(b"?", timeout_s=20) == {"b": b"b:?"}
                times.append(time.monotonic())
        finally:
            await deaf.close()
        assert 0.9 < times[1] - times[0] < 5
        assert times[2] - times[1] < 0.5
        await c.client.subscribe(c_subject, cb=c.calls._on_question)
        while await a.calls.ask_all(b"?", timeout_s=20) != {"b": b"b:?", "c": b"c:?"}:
            await asyncio.sleep(0.05)
            assert time.monotonic() - times[2] < 10
