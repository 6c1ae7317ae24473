"""A separate program that pushes a clock to every room with somebody in it, and prints who comes and goes.

    python -m wspulse.supervisor
    python examples/push_from_elsewhere.py

It may be started before the server, and carries on when the server is restarted.
"""

import asyncio
import sys
import time

from wspulse import AsyncControl, ControlError, Frame


async def push(control: AsyncControl) -> None:
    while True:
        try:
            for room in await control.rooms():
                await control.broadcast(room.id, Frame("clock", {"now": time.time()}))
        except ControlError as error:
            print(error, file=sys.stderr)
        await asyncio.sleep(1)


async def watch(control: AsyncControl) -> None:
    while True:
        try:
            async for event in control.events("connect.", "disconnect."):
                print(event.kind, event.connection, "in", event.room, flush=True)
        except ControlError:
            await asyncio.sleep(1)  # no server yet


async def main(endpoint: str | None) -> None:
    async with AsyncControl(endpoint) as control, asyncio.TaskGroup() as tasks:
        tasks.create_task(push(control))
        tasks.create_task(watch(control))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None))
