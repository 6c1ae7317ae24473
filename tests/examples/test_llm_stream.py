"""examples/llm_stream.py, with two workers and real clients."""

from __future__ import annotations

import os
import signal

import pytest

from tests.examples.support import EXAMPLES
from tests.support.eventually import eventually
from wspulse.testing import serve

FAST = {"TOKENS_PER_S": "2000"}


async def test_answers_come_token_by_token_to_those_who_asked() -> None:
    async with serve("llm_stream:server", workers=2, cwd=EXAMPLES, env=FAST) as running:
        alice, bob = await running.connect("alice"), await running.connect("bob")
        for client, prompt in ((alice, "why?"), (bob, "how?")):
            await client.send("ask", {"prompt": prompt, "max_tokens": 50}, id="1")
        for client, prompt in ((alice, "why?"), (bob, "how?")):
            done = (await client.expect("done", timeout=30)).payload
            tokens = [frame.payload for frame in client.received if frame.event == "token"]
            assert [token["n"] for token in tokens] == list(range(50))
            assert "".join(token["text"] for token in tokens) == done["text"]
            assert done["text"].startswith(f"You asked: {prompt} ")


async def test_answer_ends_when_it_is_stopped() -> None:
    async with serve("llm_stream:server", cwd=EXAMPLES, env={"TOKENS_PER_S": "50"}) as running:
        client = await running.connect()
        await client.send("ask", {"prompt": "why?", "max_tokens": 100_000}, id="1")
        await client.expect("token")
        await client.send("stop", id="1")
        await client.expect("stopped")
        await client.send("ask", {"prompt": "why?", "max_tokens": 3}, id="2")
        await client.expect("done")
        assert [frame.id for frame in client.received if frame.event == "done"] == ["2"]


@pytest.mark.parametrize("code", [1000, 1001])
async def test_model_stops_at_once_when_its_reader_closes_the_connection(code: int) -> None:
    async with serve("llm_stream:server", cwd=EXAMPLES, env={"TOKENS_PER_S": "50"}) as running:
        client = await running.connect("alice")
        await client.send("ask", {"prompt": "why?", "max_tokens": 100_000}, id="1")
        await client.expect("token")
        await client.close(code)
        # Long before the resume window ends, in which the session waits.
        await eventually(lambda: "an answer ended" in running.log, "the model has stopped", deadline_s=5)
        await client.reconnect()
        await client.send("ask", {"prompt": "why?", "max_tokens": 3}, id="1")
        await client.expect("done")


async def test_answer_goes_on_while_the_client_is_away() -> None:
    # Slow enough that it is not all in the socket that is cut: uvloop takes a sleep of half a millisecond for none.
    async with serve("llm_stream:server", workers=2, cwd=EXAMPLES, env={"TOKENS_PER_S": "150"}) as running:
        client = await running.connect("alice")
        await client.send("ask", {"prompt": "why?", "max_tokens": 300}, id="1")
        await client.expect("token")
        await client.drop()
        await client.reconnect()
        done = (await client.expect("done", timeout=30)).payload
        assert done["tokens"] == 300
        tokens = [frame.payload["n"] for frame in client.received if frame.event == "token"]
        assert tokens == sorted(set(tokens))
        assert tokens[-1] == 299


async def test_session_that_moves_to_a_new_process_has_its_answers_said_or_interrupted_and_asks_on() -> None:
    async with serve("llm_stream:server", cwd=EXAMPLES, env={"TOKENS_PER_S": "100"}) as running:
        client = await running.connect("alice")
        await client.send("ask", {"prompt": "why?", "max_tokens": 100}, id="short")
        await client.send("ask", {"prompt": "why?", "max_tokens": 100_000}, id="long")
        await client.expect("token")
        assert running.pid is not None
        os.kill(running.pid, signal.SIGHUP)
        assert (await client.expect("done", timeout=60)).id == "short"
        assert (await client.expect("interrupted", timeout=60)).id == "long"
        await client.send("ask", {"prompt": "why?", "max_tokens": 3}, id="next")
        assert (await client.expect("done", timeout=60)).id == "next"
    assert "raised" not in running.log


async def test_questions_without_an_id_or_beyond_the_limit_are_refused() -> None:
    async with serve("llm_stream:server", cwd=EXAMPLES) as running:
        client = await running.connect()
        await client.send("ask", {"prompt": "why?"})
        assert "an id of its own" in (await client.expect("error")).payload["problem"]
        for number in range(5):
            await client.send("ask", {"prompt": "why?"}, id=str(number))
        error = await client.expect("error")
        assert (error.id, error.payload["problem"]) == ("4", "Expected at most 4 questions at once")
    assert "raised" not in running.log
