"""A chat whose logic lives entirely outside the server. Start both, then chat with `?name=you` as the only password:

    python -m wspulse.supervisor --app bridge
    python examples/bridge_bot.py

The bot may be killed and started again while people chat: they stay connected, and what they write meanwhile waits. Start it
twice, and the two share the work.
"""

import asyncio
import sys

from wspulse import AsyncControl, BridgeItem, BridgeRequest, ConnectRejected, ControlError, Frame


def admit(request: BridgeRequest) -> tuple[str, str]:
    name = request.query.get("name", "")
    if not name.isidentifier():
        raise ConnectRejected("say who you are: ?name=you")
    return request.query.get("room", "lobby"), name


async def answer(control: AsyncControl, item: BridgeItem) -> None:
    match item.op:
        case "connected" if not item.adopted:
            await control.broadcast(item.room, Frame("joined", {"name": item.connection}))
        case "disconnected":
            await control.broadcast(item.room, Frame("left", {"name": item.connection}))
        case "message" if item.frame is not None:
            text = str(item.frame.payload)
            if text == "/who":
                names = [member.id for member in await control.presence(item.room)]
                await control.send(item.connection, Frame("here", sorted(names)))
            else:
                await control.broadcast(item.room, Frame("said", {"name": item.connection, "text": text}))


async def main(endpoint: str | None) -> None:
    async with AsyncControl(endpoint) as control, control.attach(admit) as bridge:
        async for item in bridge:
            try:
                await answer(control, item)
            except ControlError as error:
                print(error, file=sys.stderr)  # the person has left meanwhile, or a worker is being replaced


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None))
