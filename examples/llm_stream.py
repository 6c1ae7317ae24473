"""A language model's answer, token by token, to the one who asked. The model stops as soon as nobody reads it any more.

    python -m wspulse.supervisor --workers 2 --app llm_stream:server

Connect to ws://127.0.0.1:8000/ws and send {"id": "1", "event": "ask", "payload": {"prompt": "why is the sky blue?"}};
{"id": "1", "event": "stop"} stops the answer. So does a client that closes its connection, or stays 4,096 tokens behind for
10 s. One that is cut off has half a minute to come back, and finds its answer further on.

Here each answer is a task of its own, so that "stop" is heard while it runs, and several run at once. Where one at a
time is enough, await the stream in the handler itself, with `Server(cancel_on_disconnect=True)`: the guide shows it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import msgspec

from wspulse import (
    Connection,
    ConnectionClosedError,
    Context,
    EventRouter,
    Frame,
    InvalidPayloadError,
    Request,
    Server,
)

TOKENS_PER_S = float(os.environ.get("TOKENS_PER_S", "40"))
PATIENCE_S = 10.0
"""A client that takes nothing for so long loses its answer: the model costs money."""
ANSWERS_AT_ONCE = 4
LAST_WORDS_S = 5.0
"""How long a session waits for its answers before it moves to the next version of this program."""

logger = logging.getLogger("llm_stream")
# The peer may be 4,096 tokens behind, or gone for half a minute, before it matters.
server = Server(resume_window=30, send_buffer_size=4096, max_message_size=64 * 1024)
router = EventRouter()
server.on_message(router)
answers: dict[str, dict[str, asyncio.Task[None]]] = {}
"""Connection's id → question → the task that answers it. Tasks are this process's, and not in `connection.state`, which moves."""


class Ask(msgspec.Struct):
    prompt: Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)]
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 200


async def model(prompt: str, max_tokens: int) -> AsyncGenerator[str, None]:
    """Put your model's stream here. It is cancelled where it waits: let `async with` or `finally` hang up on the model."""
    words = f"You asked: {prompt} That is a good question, and there is much to say about it.".split()
    for number in range(max_tokens):
        await asyncio.sleep(1 / TOKENS_PER_S)
        yield words[number % len(words)] + " "


async def send_patiently(connection: Connection, frame: Frame) -> None:
    """Send, waiting while the peer takes nothing. Raises TimeoutError, ConnectionClosedError."""
    async with asyncio.timeout(PATIENCE_S):
        await connection.send_wait(frame)


async def stream(connection: Connection, question: str, ask: Ask) -> None:
    """Runs beside the session's handlers, so that "stop" can come in while it talks."""
    tokens: list[str] = []
    try:
        async with aclosing(model(ask.prompt, ask.max_tokens)) as answer:
            async for token in answer:
                await send_patiently(connection, Frame("token", {"n": len(tokens), "text": token}, question))
                tokens.append(token)
        # The whole text once more: a suspended session keeps the newest 4,096 frames only, and a client that sees a gap
        # in `n` takes it from here.
        await send_patiently(connection, Frame("done", {"tokens": len(tokens), "text": "".join(tokens)}, question))
    except ConnectionClosedError:
        pass  # gone for good: nobody is left to read the rest
    except TimeoutError:
        logger.warning("a client takes nothing; its answer ends", extra={"connection_id": connection.id})
        await connection.close(4008, "you read too slowly")
    finally:
        answers.get(connection.id, {}).pop(question, None)
        logger.info("an answer ended", extra={"connection_id": connection.id, "tokens": len(tokens)})


@server.connect
def connect(request: Request) -> tuple[str, str]:
    return "", request.query.get("id", "")


@router.on("ask")
async def ask(context: Context, question: Ask) -> None:
    mine = answers.setdefault(context.connection.id, {})
    if not context.frame.id or context.frame.id in mine:
        raise InvalidPayloadError("id", "Expected an id of its own for each question, next to the payload")
    if len(mine) >= ANSWERS_AT_ONCE:
        raise InvalidPayloadError("$", f"Expected at most {ANSWERS_AT_ONCE} questions at once")
    mine[context.frame.id] = asyncio.create_task(stream(context.connection, context.frame.id, question))


@router.on("stop")
async def stop(context: Context) -> None:
    task = answers.get(context.connection.id, {}).get(context.frame.id)
    if task is not None:
        task.cancel()
        await context.connection.send(Frame("stopped", id=context.frame.id))


@server.on_disconnect
def hang_up(connection: Connection, error: Exception | None) -> None:
    for task in answers.pop(connection.id, {}).values():
        task.cancel()


@server.on_transport_drop
def left(connection: Connection, error: Exception | None) -> None:
    """A page that was closed says so (`error` is None), and may still come back: a reload. Its answers are not read meanwhile."""
    if error is None:
        hang_up(connection, error)


@server.on_transfer_out
async def finish(connection: Connection) -> None:
    """A stream of the model cannot move: what is nearly said is said, and the rest can be asked for anew."""
    mine = dict(answers.get(connection.id, {}))
    if mine:
        await asyncio.wait(mine.values(), timeout=LAST_WORDS_S)
    for question, task in mine.items():
        if not task.done():
            task.cancel()
            await connection.send(Frame("interrupted", id=question))
    answers.pop(connection.id, None)
