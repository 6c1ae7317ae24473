"""What callbacks return: something to be awaited, or not."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import pytest

from wspulse.actors.values.awaitable import is_awaitable, result_of


class OwnAwaitable:
    """Of an application's own: no coroutine, no future."""

    def __await__(self) -> Generator[Any, None, int]:
        yield from asyncio.sleep(0).__await__()
        return 5


async def seven() -> int:
    return 7


@pytest.mark.parametrize("value", [None, 0, "text", seven], ids=["None", "a number", "text", "a function"])
async def test_plain_value_is_not_awaitable_and_is_its_own_result(value: Any) -> None:
    assert not is_awaitable(value)
    assert await result_of(value) is value


async def test_result_of_what_can_be_awaited_is_what_it_gives() -> None:
    future = asyncio.get_running_loop().create_future()
    future.set_result(3)
    for awaitable, result in ((seven(), 7), (OwnAwaitable(), 5), (future, 3)):
        assert is_awaitable(awaitable)
        assert await result_of(awaitable) == result


async def test_plain_result_is_there_without_another_turn_of_the_loop() -> None:
    turns: list[str] = []
    asyncio.get_running_loop().call_soon(turns.append, "turn")
    await result_of(None)
    assert turns == []
    await asyncio.sleep(0)
