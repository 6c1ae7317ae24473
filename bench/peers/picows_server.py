# mypy: ignore-errors
# Its packages are only in the venv of the peers.
"""A room and an echo on picows, written by hand as its documentation suggests: python picows_server.py echo|fanout"""

from __future__ import annotations

import asyncio
import sys

import orjson
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

MEMBERS: set[WSTransport] = set()


class Echo(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            transport.send(WSMsgType.TEXT, orjson.dumps(orjson.loads(frame.get_payload_as_memoryview())))
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()


class Member(WSListener):
    def on_ws_connected(self, transport: WSTransport) -> None:
        MEMBERS.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        MEMBERS.discard(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            data = orjson.dumps(orjson.loads(frame.get_payload_as_memoryview()))
            for member in MEMBERS:
                member.send(WSMsgType.TEXT, data)
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()


async def main() -> None:
    listener = Echo if sys.argv[1] == "echo" else Member
    server = await ws_create_server(lambda _request: listener(), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


uvloop.run(main())
