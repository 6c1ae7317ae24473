from __future__ import annotations

import asyncio

from wspulse.supervisor.protocol.awaitable import result_of


async def test_result_is_the_value_or_what_awaiting_it_gives() -> None:
    async def coroutine() -> int:
        return 2

    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    future.set_result(3)
    assert [await result_of(1), await result_of(coroutine()), await result_of(future)] == [1, 2, 3]
